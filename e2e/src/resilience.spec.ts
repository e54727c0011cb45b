import { connect } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type AppProcess, createRedisProcess, createSystem, eventually, openTcpGate, type System, testServices } from '@gatehouse/testing';

let system: System | undefined;
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await system?.close();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}, 60_000);

interface Answer {
  readonly status: number;
  readonly body: { readonly error?: { readonly code: string; readonly status: number; readonly retryAfter?: number } };
  readonly ms: number;
}

const get = async ({ url }: AppProcess, secret: string, path: string): Promise<Answer> => {
  const started = performance.now();
  const answer = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${secret}` }, signal: AbortSignal.timeout(15_000) });
  return { status: answer.status, body: (await answer.json()) as Answer['body'], ms: performance.now() - started };
};

const expectServes = async (gateway: AppProcess, secret: string): Promise<void> =>
  eventually(async () => {
    expect((await get(gateway, secret, '/v1/agents')).status).toBe(200);
    expect((await get(gateway, secret, '/ready')).status).toBe(200);
  });

const expectUnavailable = ({ status, body }: Answer, code: string): void => {
  expect(body.error).toMatchObject({ code, status: 503, retryAfter: expect.any(Number) });
  expect(status).toBe(503);
};

const startSystem = async (overrides: Record<string, string> = {}): Promise<{ system: System; apps: Awaited<ReturnType<System['startAll']>>; secret: string }> => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', ...overrides });
  const apps = await system.startAll();
  const { secret } = await system.createKey();
  await expectServes(apps.gateway, secret);
  return { system, apps, secret };
};

describe('a service killed with kill -9', () => {
  test('is 503 within a second, and served again when it is back, without a restart of anyone else', async () => {
    const { system: running, apps, secret } = await startSystem();
    await apps.sandbox.kill();
    const answer = await get(apps.gateway, secret, '/v1/agents');
    expectUnavailable(answer, 'sandbox_error');
    expect(answer.ms).toBeLessThan(1_000);
    expect((await get(apps.gateway, secret, '/v1/me')).status).toBe(200);
    expect((await get(apps.gateway, secret, '/ready')).body).toMatchObject({ error: { message: 'Not ready: sandbox' } });

    await running.start('sandbox');
    await expectServes(apps.gateway, secret);
  }, 60_000);

  test('fails the calls it was working on within a second', async () => {
    const { apps, secret } = await startSystem();
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
    await fetch(`${apps.gateway.url}/v1/agents/demo`, { method: 'PUT', headers, body: '{"model":"scripted"}' });
    const { id } = (await (await fetch(`${apps.gateway.url}/v1/sandboxes`, { method: 'POST', headers, body: '{"agent":"demo"}' })).json()) as { id: string };
    const running = fetch(`${apps.gateway.url}/v1/sandboxes/${id}/exec`, { method: 'POST', headers, body: '{"command":"touch started; sleep 60"}' });
    await eventually(async () => {
      const look = await fetch(`${apps.gateway.url}/v1/sandboxes/${id}/exec`, { method: 'POST', headers, body: '{"command":"test -e started"}' });
      expect(await look.json()).toMatchObject({ exitCode: 0 });
    });

    const killed = performance.now();
    await apps.sandbox.kill();
    const answer = await running;
    expect(performance.now() - killed).toBeLessThan(1_000);
    expect(await answer.json()).toMatchObject({ error: { code: 'sandbox_error', status: 503 } });
  }, 60_000);
});

test('Redis killed and restarted: 503 or a local answer meanwhile, then everything recovers by itself', async () => {
  const redis = await createRedisProcess();
  await redis.start();
  cleanups.push(async () => redis.kill());
  const { apps, secret } = await startSystem({ REDIS_URL: redis.url });

  await redis.kill();
  await eventually(async () => expectUnavailable(await get(apps.gateway, secret, '/v1/agents'), 'sandbox_error'));
  expect((await get(apps.gateway, secret, '/v1/me')).status).toBe(200);
  expect((await get(apps.gateway, secret, '/health')).status).toBe(200);
  expect((await get(apps.gateway, secret, '/ready')).body).toMatchObject({ error: { message: 'Not ready: redis, vault, sandbox, budget' } });

  await redis.start();
  await expectServes(apps.gateway, secret);
}, 60_000);

describe('Postgres', () => {
  test('stopped: 503 at once; back: everything recovers by itself', async () => {
    const gate = await openTcpGate(testServices().databaseUrl);
    cleanups.push(gate.close);
    const { apps, secret } = await startSystem({ DATABASE_URL: gate.url });

    await gate.cut();
    await eventually(async () => expectUnavailable(await get(apps.gateway, secret, '/v1/agents'), 'internal_error'));
    const answer = await get(apps.gateway, secret, '/v1/agents');
    expectUnavailable(answer, 'internal_error');
    expect(answer.ms).toBeLessThan(1_000);
    expect((await get(apps.gateway, secret, '/ready')).status).toBe(503);

    await gate.restore();
    await expectServes(apps.gateway, secret);
  }, 60_000);

  test('frozen: 503 within the deadline, never a hang; thawed: everything recovers by itself', async () => {
    const gate = await openTcpGate(testServices().databaseUrl);
    cleanups.push(gate.close);
    const { apps, secret } = await startSystem({ DATABASE_URL: gate.url });

    gate.freeze();
    const answers = await Promise.all(Array.from({ length: 30 }, async () => get(apps.gateway, secret, '/v1/agents')));
    for (const answer of answers) {
      expect(answer.status).toBe(503);
      expect(answer.ms).toBeLessThan(8_000);
    }
    await gate.restore();
    await expectServes(apps.gateway, secret);
  }, 60_000);
});

test('a gateway told to stop finishes what it has and ends with code 0', async () => {
  const { apps, secret } = await startSystem();
  // Neither of these may hold it up: one that has sent half a request, and one that has been answered and stays.
  const half = connect(Number(new URL(apps.gateway.url).port), '127.0.0.1', () => half.write('GET /v1/me HTTP/1.1\r\nhost'));
  half.on('error', () => undefined);
  await fetch(`${apps.gateway.url}/health`);
  const pending = Promise.all(Array.from({ length: 50 }, async () => get(apps.gateway, secret, '/v1/agents').catch(() => null)));
  const code = await apps.gateway.stop();
  expect(code).toBe(0);
  for (const answer of await pending) if (answer !== null) expect(answer.status).toBe(200);
  for (const app of [apps.vault, apps.budget, apps.egress, apps.sandbox]) expect(await app.stop()).toBe(0);
}, 60_000);
