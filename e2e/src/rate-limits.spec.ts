import { afterEach, expect, test } from '@jest/globals';
import { createRedisProcess, createSystem, eventually, type System, testServices } from '@gatehouse/testing';
import autocannon from 'autocannon';
import { Redis } from 'ioredis';

let system: System | undefined;
afterEach(async () => system?.close());

const GATEWAYS = 4;
const REQUESTS = 100_000;

/** As many requests as told against every gateway at once; counts answers by status. */
const flood = async (urls: readonly string[], secret: string, requests: number): Promise<Map<number, number>> => {
  const results = await Promise.all(
    urls.map(async url => autocannon({ url: `${url}/v1/me`, amount: requests / urls.length, connections: Math.min(64, requests / urls.length), headers: { authorization: `Bearer ${secret}` }, timeout: 60 })),
  );
  const counts = new Map<number, number>();
  for (const { statusCodeStats = {} } of results) for (const [status, { count = 0 }] of Object.entries(statusCodeStats)) counts.set(Number(status), (counts.get(Number(status)) ?? 0) + count);
  return counts;
};

const startGateways = async (limits: Record<string, string>): Promise<string[]> => {
  system = createSystem({ RATE_LIMIT_TEAM: '1000000000', RATE_LIMIT_TEAM_BURST: '1000000', GATEWAY_REPLICAS: String(GATEWAYS), ...limits });
  const { start } = system;
  return (await Promise.all(Array.from({ length: GATEWAYS }, async () => start('gateway')))).map(({ url }) => url);
};

test('four gateways and 100,000 parallel requests admit exactly the burst when nothing comes back in time', async () => {
  // One request a day comes back: whatever is admitted beyond the burst is a mistake.
  const urls = await startGateways({ RATE_LIMIT_WINDOW_SECONDS: '86400', RATE_LIMIT_DEFAULT: '1', RATE_LIMIT_DEFAULT_BURST: '777' });
  const { secret } = await (system as System).createKey();
  const counts = await flood(urls, secret, REQUESTS);
  expect(counts).toEqual(new Map([[200, 777], [429, REQUESTS - 777]]));
}, 120_000);

test('under constant pressure exactly one per interval is admitted after the burst', async () => {
  const urls = await startGateways({ RATE_LIMIT_WINDOW_SECONDS: '60', RATE_LIMIT_DEFAULT: '1200', RATE_LIMIT_DEFAULT_BURST: '50' });
  const intervalMs = 60_000 / 1_200;
  const { secret } = await (system as System).createKey();
  const redis = new Redis(testServices().redisUrl);
  const storeMs = async (): Promise<number> => {
    const [seconds = 0, micros = 0] = (await redis.time()).map(Number);
    return seconds * 1_000 + micros / 1_000;
  };
  const probe = async (requests: number): Promise<{ admitted: number; from: number; to: number }> => {
    const from = await storeMs();
    const counts = await flood(urls, secret, requests);
    return { admitted: counts.get(200) ?? 0, from, to: await storeMs() };
  };

  const first = await probe(GATEWAYS);
  const flooded = await probe(20_000);
  // Takes whatever has come free up to its own time.
  const last = await probe(100 * GATEWAYS);
  redis.disconnect();

  // The schedule began within the first probe and was emptied within the last one; places that nobody took at once were kept.
  const admitted = first.admitted + flooded.admitted + last.admitted;
  expect(admitted).toBeLessThanOrEqual(50 + Math.floor((last.to - first.from) / intervalMs));
  expect(admitted).toBeGreaterThanOrEqual(50 + Math.floor((last.from - first.to) / intervalMs));
}, 120_000);

test('without Redis each gateway limits at its share: never open, never a crash, and shared again when it is back', async () => {
  const redis = await createRedisProcess();
  await redis.start();
  try {
    const urls = await startGateways({ REDIS_URL: redis.url, RATE_LIMIT_WINDOW_SECONDS: '86400', RATE_LIMIT_DEFAULT: '1', RATE_LIMIT_DEFAULT_BURST: '400' });
    const { secret } = await (system as System).createKey();
    expect((await flood(urls, secret, 4)).get(200)).toBe(4);

    await redis.kill();
    const counts = await flood(urls, secret, 8_000);
    expect(counts).toEqual(new Map([[200, 400], [429, 7_600]]));

    await redis.start();
    await eventually(async () => {
      const answers = await Promise.all(urls.map(async url => fetch(`${url}/v1/me`, { headers: { authorization: `Bearer ${secret}` } })));
      // The new Redis knows nothing of what was used: the shared limit begins anew, and all gateways see it fall together.
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      const remaining = answers.map(({ headers }) => Number(headers.get('ratelimit-remaining')));
      expect(new Set(remaining).size).toBe(GATEWAYS);
    });
  } finally {
    await redis.kill();
  }
}, 120_000);
