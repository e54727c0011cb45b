import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { openDatabase } from '@gatehouse/database';
import { type AppProcess, boxesOf, countsOf, createSystem, eventually, type System, testServices, tracesOf } from '@gatehouse/testing';
import { type Answer, type Api, apiOf } from './testing/api.js';

const LIMITS = { RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' };

interface World {
  readonly system: System;
  readonly apps: Record<string, AppProcess>;
  readonly api: Api;
}

const startWorld = async (overrides: Record<string, string> = {}): Promise<World> => {
  const system = createSystem({ ...LIMITS, SANDBOX_POOL_SIZE: '0', ...overrides });
  const apps = await system.startAll();
  const { secret } = await system.createKey();
  const api = apiOf(apps.gateway, secret);
  expect((await api('PUT', '/v1/agents/demo', { model: 'scripted' })).status).toBe(201);
  return { system, apps, api };
};

const create = async (api: Api, changes: object = {}): Promise<string> => {
  const answer = await api('POST', '/v1/sandboxes', { agent: 'demo', ...changes });
  expect(answer).toMatchObject({ status: 201 });
  return (answer.body as { id: string }).id;
};
const exec = async (api: Api, id: string, command: string): Promise<string> => {
  const answer = await api('POST', `/v1/sandboxes/${id}/exec`, { command });
  expect(answer).toMatchObject({ status: 200 });
  return (answer.body as { stdout: string }).stdout;
};
const look = async (api: Api, id: string): Promise<{ status: string; error: string | null }> => (await api('GET', `/v1/sandboxes/${id}`)).body as { status: string; error: string | null };
const becomes = (api: Api, id: string, status: string, error: unknown = null, deadlineMs = 10_000): Promise<void> => eventually(async () => expect(await look(api, id)).toMatchObject({ status, error }), { deadlineMs });

/** Writes the time into a file again and again, whoever watches. */
const TICKING = 'nohup sh -c \'while :; do date +%s%N > tick; read -t 0.05 < /dev/zero_is_not_there 2>/dev/null || sleep 0.05; done\' > /dev/null 2>&1 &';
const tickGoesOn = async (api: Api, id: string): Promise<void> => {
  const before = await exec(api, id, 'cat tick');
  await eventually(async () => expect(await exec(api, id, 'cat tick')).not.toBe(before));
};

const database = openDatabase({ url: testServices().databaseUrl, applicationName: 'sandbox-life' });
afterAll(async () => database.$disconnect());
const rowIdOf = async (id: string): Promise<string> => (await database.sandbox.findFirstOrThrow({ where: { sandboxId: id }, select: { id: true } })).id;

/** Ends pid 1 of a sandbox, which takes everything in it along. */
const killInside = async (system: System, id: string): Promise<void> => {
  const rowId = await rowIdOf(id);
  const box = boxesOf(system).find(({ sandboxId }) => sandboxId === rowId);
  if (box === undefined) throw new Error('the sandbox does not run');
  process.kill(box.pid, 'SIGKILL');
};

describe('the life of a sandbox', () => {
  let world: World;
  /** Of a node without sandboxes, ready for the next. */
  let atRest: object;
  beforeAll(async () => {
    world = await startWorld({ SANDBOXES_MAX: '3' });
    await world.api('DELETE', `/v1/sandboxes/${await create(world.api)}`);
    atRest = countsOf(tracesOf(world.system));
  }, 60_000);
  afterAll(async () => world.system.close(), 60_000);
  afterEach(async () => {
    for (const { id } of ((await world.api('GET', '/v1/sandboxes')).body as { sandboxes: { id: string }[] }).sandboxes) await world.api('DELETE', `/v1/sandboxes/${id}`);
    await eventually(() => expect(countsOf(tracesOf(world.system))).toEqual(atRest));
  }, 60_000);

  test('it stops when it is idle, keeps its files, and wakes for the next call', async () => {
    const { api, system } = world;
    const id = await create(api, { timeoutMs: 1_000 });
    await exec(api, id, `echo kept > kept.txt; ${TICKING}`);
    await becomes(api, id, 'stopped');
    await eventually(() => expect(boxesOf(system)).toEqual([]));
    expect(await exec(api, id, 'cat kept.txt; pgrep -c -f tick')).toBe('kept\n0\n');
    expect(await look(api, id)).toMatchObject({ status: 'active' });
  }, 60_000);

  test('it does not count as idle while something happens in it', async () => {
    const { api } = world;
    const id = await create(api, { timeoutMs: 1_000 });
    expect(await exec(api, id, 'sleep 2; echo awake')).toBe('awake\n');
    expect(await look(api, id)).toMatchObject({ status: 'active' });
  }, 60_000);

  test('one that was killed is an error that says why within two seconds, and the next call brings it back with its files', async () => {
    const { api, system } = world;
    const id = await create(api);
    await exec(api, id, 'echo kept > kept.txt');
    await killInside(system, id);
    await becomes(api, id, 'error', 'The sandbox ended unexpectedly', 2_000);
    expect((await api('GET', '/v1/sandboxes?status=error')).body).toMatchObject({ sandboxes: [{ id }] });
    expect(await exec(api, id, 'cat kept.txt')).toBe('kept\n');
    await becomes(api, id, 'active');
  }, 60_000);

  test('a call that it dies under is a 503, and the same call again is answered', async () => {
    const { api, system } = world;
    const id = await create(api);
    const dying = api('POST', `/v1/sandboxes/${id}/exec`, { command: 'touch begun; sleep 60' });
    await eventually(async () => expect(await exec(api, id, 'ls begun')).toBe('begun\n'));
    await killInside(system, id);
    expect(await dying).toMatchObject({ status: 503, body: { error: { code: 'sandbox_error', status: 503, message: expect.any(String), retryAfter: expect.any(Number) } } });
    expect(await exec(api, id, 'ls begun')).toBe('begun\n');
  }, 60_000);

  test('deleting it ends the command that runs in it', async () => {
    const { api } = world;
    const id = await create(api);
    const running = api('POST', `/v1/sandboxes/${id}/exec`, { command: 'touch begun; sleep 60' });
    await eventually(async () => expect(await exec(api, id, 'ls begun')).toBe('begun\n'));
    expect((await api('DELETE', `/v1/sandboxes/${id}`)).status).toBe(204);
    expect(await running).toMatchObject({ status: 503, body: { error: { code: 'sandbox_error' } } });
    for (const [method, path, body] of [['GET', ''], ['DELETE', ''], ['POST', '/exec', { command: 'true' }]] as const) {
      expect(await api(method, `/v1/sandboxes/${id}${path}`, body)).toMatchObject({ status: 404, body: { error: { code: 'not_found', message: 'Sandbox not found', status: 404 } } });
    }
  }, 60_000);

  test('a full node says so and says when to come back, and has room again when one goes', async () => {
    const { api } = world;
    const ids = await Promise.all([create(api), create(api), create(api)]);
    const full: Answer = await api('POST', '/v1/sandboxes', { agent: 'demo' });
    expect(full).toMatchObject({ status: 503, body: { error: { code: 'sandbox_error', message: 'No sandbox capacity is available', status: 503, retryAfter: expect.any(Number) } } });
    expect(full.headers.get('retry-after')).not.toBeNull();
    expect(((await api('GET', '/v1/sandboxes')).body as { sandboxes: unknown[] }).sandboxes).toHaveLength(3);
    await api('DELETE', `/v1/sandboxes/${ids[0]}`);
    await create(api);
  }, 60_000);

  test('many calls at once wake it once', async () => {
    const { api, system } = world;
    const id = await create(api, { timeoutMs: 1_000 });
    await becomes(api, id, 'stopped');
    const answers = await Promise.all(Array.from({ length: 40 }, async (_, index) => exec(api, id, `echo ${index}`)));
    expect(answers).toEqual(Array.from({ length: 40 }, (_, index) => `${index}\n`));
    expect(boxesOf(system)).toHaveLength(1);
  }, 60_000);
});

describe('a service killed with kill -9', () => {
  let world: World | undefined;
  afterEach(async () => world?.system.close(), 60_000);

  test('takes its sandboxes over again: what runs in them goes on, files are there, and what nobody knows is cleared away and told', async () => {
    world = await startWorld();
    const { api, apps, system } = world;
    const [kept = '', killed = '', deleted = ''] = [await create(api), await create(api), await create(api)];
    for (const id of [kept, killed]) await exec(api, id, `echo ${id} > name; ${TICKING}`);
    await tickGoesOn(api, kept);
    const before = await exec(api, kept, 'pgrep -f tick | head -1');

    await apps['sandbox']?.kill();
    await killInside(system, killed);
    await database.sandbox.deleteMany({ where: { sandboxId: deleted } });
    const service = await system.start('sandbox');

    await tickGoesOn(api, kept);
    expect(await exec(api, kept, 'cat name; pgrep -f tick | head -1')).toBe(`${kept}\n${before}`);
    await becomes(api, killed, 'stopped');
    expect(await exec(api, killed, 'cat name')).toBe(`${killed}\n`);
    expect((await api('GET', `/v1/sandboxes/${deleted}`)).status).toBe(404);
    await eventually(() => expect(boxesOf(system)).toHaveLength(2));
    expect(service.log.join('\n')).toContain('node reconciled');
  }, 90_000);
});
