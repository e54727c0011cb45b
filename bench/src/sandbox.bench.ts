import { randomBytes } from 'node:crypto';
import { boxesOf, chargedMemoryOf, createSystem, eventually, type System } from '@gatehouse/testing';
import { megabytes, ms, percentile, printTable, verdict } from './table.js';

const CREATES = 40;
const CALLS = 300;
/** Until the code a call runs through is compiled, in five processes. */
const WARM_UP_CALLS = 100;
const IDLE_BOXES = 10;
const POOL = 4;
const LARGE_BYTES = 100 * 1_048_576;
const LARGE_ROUNDS = 5;

type Samples = readonly number[];

/** What the user of an agent waits for: a new sandbox, a command, a file. All over HTTP, one request at a time, in one run. */
export const sandboxBench = async (): Promise<void> => {
  const cold = await measureCreates(0);
  const warm = await measureCreates(POOL);
  const { execs, writes, reads, uploads, downloads, idleBytes } = await measureUse();

  const row = (name: string, samples: Samples): string[] => [name, String(samples.length), ms(percentile(samples, 0.5)), ms(percentile(samples, 0.95)), ms(percentile(samples, 0.99))];
  printTable(
    'Sandboxes over HTTP, one request at a time',
    ['what', 'samples', 'p50', 'p95', 'p99'],
    [
      row('create, cold', cold.creates),
      row('create to first exec answered, cold', cold.firstExecs),
      row('create, from the pool', warm.creates),
      row('create to first exec answered, from the pool', warm.firstExecs),
      row('exec true', execs),
      row('write a file of 1 KiB', writes),
      row('read a file of 1 KiB', reads),
    ],
  );
  const throughput = (samples: Samples): string => megabytes(LARGE_BYTES / percentile(samples, 0.5) * 1_000);
  printTable('Content of 100 MiB over HTTP, median of five', ['what', 'per second'], [['write (format=stream)', throughput(uploads)], ['read (format=stream)', throughput(downloads)]]);
  const [coldMs, warmMs, execMs] = [percentile(cold.firstExecs, 0.5), percentile(warm.firstExecs, 0.5), percentile(execs, 0.5)];
  printTable(
    'Claims',
    ['claim', 'measured', 'holds'],
    [
      verdict('create to first exec, from the pool, p50 at most 30 ms', warmMs, warmMs <= 30, ms(warmMs)),
      verdict('create to first exec, cold, p50 at most 120 ms', coldMs, coldMs <= 120, ms(coldMs)),
      verdict('exec over HTTP, p50 at most 8 ms', execMs, execMs <= 8, ms(execMs)),
      verdict('memory of an idle sandbox at most 12 MiB', idleBytes, idleBytes <= 12 * 1_048_576, `${(idleBytes / 1_048_576).toFixed(1)} MiB`),
    ],
  );
};

interface World {
  readonly system: System;
  /** A JSON call; its answer, null when it has none. */
  readonly call: (method: string, path: string, body?: unknown) => Promise<unknown>;
  /** Bytes there or back; resolves when all have arrived. */
  readonly upload: (path: string, bytes: Uint8Array) => Promise<void>;
  readonly download: (path: string) => Promise<number>;
}

const withWorld = async <T>(overrides: Readonly<Record<string, string>>, work: (world: World) => Promise<T>): Promise<T> => {
  const system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000', ...overrides });
  try {
    const { gateway } = await system.startAll();
    const { secret } = await system.createKey();
    const send = async (method: string, path: string, type: string, body?: string | Uint8Array): Promise<Response> => {
      const answer = await fetch(`${gateway.url}${path}`, { method, headers: { authorization: `Bearer ${secret}`, 'content-type': type }, ...(body === undefined ? {} : { body }) });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer;
    };
    return await work({
      system,
      call: async (method, path, body) => {
        const answer = await send(method, path, 'application/json', body === undefined ? undefined : JSON.stringify(body));
        return answer.status === 204 ? null : answer.json();
      },
      upload: async (path, bytes) => void (await (await send('POST', path, 'application/octet-stream', bytes)).arrayBuffer()),
      download: async path => {
        let bytes = 0;
        for await (const chunk of (await send('GET', path, 'application/json')).body as AsyncIterable<Uint8Array>) bytes += chunk.length;
        return bytes;
      },
    });
  } finally {
    await system.close();
  }
};

const create = async ({ call }: World): Promise<string> => ((await call('POST', '/v1/sandboxes', { agent: 'bench' })) as { id: string }).id;
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await work();
  return performance.now() - started;
};
/** The first few of anything load code and caches. */
const repeat = async (count: number, warmUp: number, work: (round: number) => Promise<number>): Promise<number[]> => {
  const samples: number[] = [];
  for (let round = -warmUp; round < count; round++) {
    const sample = await work(round);
    if (round >= 0) samples.push(sample);
  }
  return samples;
};

const measureCreates = (poolSize: number): Promise<{ creates: Samples; firstExecs: Samples }> =>
  withWorld({ SANDBOX_POOL_SIZE: String(poolSize) }, async world => {
    const { system, call } = world;
    await call('PUT', '/v1/agents/bench', { model: 'scripted' });
    const creates: number[] = [];
    const firstExecs = await repeat(CREATES, 3, async round => {
      await eventually(() => {
        if (boxesOf(system).length < poolSize) throw new Error('the pool is being filled');
      });
      const started = performance.now();
      const id = await create(world);
      if (round >= 0) creates.push(performance.now() - started);
      await call('POST', `/v1/sandboxes/${id}/exec`, { command: 'true' });
      const whole = performance.now() - started;
      await call('DELETE', `/v1/sandboxes/${id}`);
      return whole;
    });
    return { creates, firstExecs };
  });

const measureUse = (): Promise<Record<'execs' | 'writes' | 'reads' | 'uploads' | 'downloads', Samples> & { idleBytes: number }> =>
  withWorld({ SANDBOX_POOL_SIZE: '0' }, async world => {
    const { system, call, upload, download } = world;
    await call('PUT', '/v1/agents/bench', { model: 'scripted' });
    const ids = await Promise.all(Array.from({ length: IDLE_BOXES }, async () => create(world)));
    const idle = boxesOf(system).map(box => chargedMemoryOf(system, box));
    const at = `/v1/sandboxes/${ids[0] ?? ''}`;
    const execs = await repeat(CALLS, WARM_UP_CALLS, async () => timed(() => call('POST', `${at}/exec`, { command: 'true' })));
    const writes = await repeat(CALLS, WARM_UP_CALLS, async () => timed(() => call('POST', `${at}/files`, { path: 'small', content: 'x'.repeat(1_024) })));
    const reads = await repeat(CALLS, WARM_UP_CALLS, async () => timed(() => call('GET', `${at}/files?path=small`)));
    const content = randomBytes(LARGE_BYTES);
    const uploads = await repeat(LARGE_ROUNDS, 1, async () => timed(() => upload(`${at}/files?format=stream&path=large`, content)));
    const downloads = await repeat(LARGE_ROUNDS, 1, async () => timed(() => download(`${at}/files?format=stream&path=large`)));
    return { execs, writes, reads, uploads, downloads, idleBytes: percentile(idle, 0.5) };
  });
