import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Caller, isUuid, type SandboxSummary, uuidV4 } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { HeldElsewhere } from '@gatehouse/rpc';
import { eventually, expectError } from '@gatehouse/testing';
import { DriverError } from '../drivers/driver-error.js';
import type { FakeBox } from '../testing/fake-driver.js';
import { call, definition, makeCaller, makeNode, openTestDatabase, request, type TestNode } from '../testing/test-node.js';

describe('sandboxes', () => {
  let database: Database;
  let node: TestNode;
  let caller: Caller;
  beforeAll(() => {
    database = openTestDatabase();
  });
  afterAll(() => database.$disconnect());
  beforeEach(async () => {
    node = makeNode(database);
    caller = makeCaller();
    await put('reviewer');
  });

  const put = (slug: string, body: object = {}, by = caller) => node.agents.put(by, definition(slug, body), call);
  const create = (body: object = {}, by = caller) => node.sandboxes.create(by, request({ agent: 'reviewer', ...body }), call);
  const exec = (id: string, body: object = {}, by = caller) => node.sandboxes.exec(by, { id, command: 'true', ...body });
  const get = (id: string, by = caller) => node.sandboxes.get(by, { id });
  const rowOf = async (id: string) => database.sandbox.findFirstOrThrow({ where: { teamId: caller.teamId, sandboxId: id } });
  const boxOf = async (id: string): Promise<FakeBox> => {
    const box = node.driver.boxes.get((await rowOf(id)).id);
    if (box === undefined) throw new Error('no box');
    return box;
  };
  /** As chat makes them: the caller chooses the id. */
  const createNamed = async (slug: string, sandboxId: string, body: object = {}) => {
    const agent = await database.agent.findFirstOrThrow({ where: { teamId: caller.teamId, slug } });
    const version = await database.agentVersion.findFirstOrThrow({ where: { agentId: agent.id } });
    const { definition: kept } = version as unknown as { definition: Parameters<TestNode['provisioning']['create']>[0]['definition'] };
    return node.provisioning.create({ id: agent.id, teamId: caller.teamId, version: version.version, definition: kept, envs: null }, { sandboxId, ...body }, call.signal);
  };

  describe('creation', () => {
    it('writes files, runs setup and answers when the sandbox is active', async () => {
      await put('reviewer', { name: 'Reviewer', sandbox: { files: { 'a.txt': 'agent', 'b.txt': 'agent' }, setup: ['one'], cpuCount: 2, memoryMB: 1_024 }, envs: { A: 'agent', B: 'agent' } });
      const created = await create({ files: { 'b.txt': 'request' }, setup: ['two'], envs: { B: 'request' }, metadata: { plan: 'pro' }, externalUserId: ' user-1 ' });
      expect(created).toEqual({ id: created.id, sandboxId: created.id, status: 'active', createdAt: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/) });
      expect(isUuid(created.id) && created.id[14] === '4').toBe(true);
      const box = await boxOf(created.id);
      expect(Object.fromEntries(box.written)).toEqual({ '/home/user/a.txt': 'agent', '/home/user/b.txt': 'request' });
      expect(box.commands).toMatchObject([
        { command: 'one', env: { A: 'agent', B: 'request' } },
        { command: 'two', env: { A: 'agent', B: 'request' } },
      ]);
      expect(node.driver.starts).toMatchObject([{ generation: 1, template: 'host', limits: { cpuMillis: 2_000, memoryBytes: 1_073_741_824, diskBytes: 1_073_741_824, pids: 256 } }]);
      expect(await get(created.id)).toEqual({
        ...created,
        error: null,
        agent: { slug: 'reviewer', name: 'Reviewer' },
        metadata: { plan: 'pro' },
        externalUserId: 'user-1',
        threads: [],
        updatedAt: expect.any(String),
      });
    });

    it('is seen as creating by those who ask meanwhile', async () => {
      const started = withResolvers();
      const release = withResolvers();
      node.driver.onStart = async () => {
        started.resolve();
        await release.promise;
      };
      const creation = create();
      await started.promise;
      const [{ id } = { id: '' }] = (await node.sandboxes.list(caller, {})).items;
      expect(await get(id)).toMatchObject({ status: 'creating' });
      expect((await expectError(exec(id), 'sandbox_error')).toEnvelope()).toEqual({
        error: { code: 'sandbox_error', message: 'The sandbox is still being created', status: 503, retryAfter: 5 },
      });
      release.resolve();
      expect((await creation).id).toBe(id);
      await exec(id);
    });

    it.each<[what: string, fail: (node: TestNode) => void, envelope: object]>([
      ['no capacity', ({ driver }) => (driver.onStart = () => Promise.reject(new DriverError('no-capacity', 'This node is full'))), { message: 'No sandbox capacity is available', status: 503, retryAfter: 5 }],
      ['a start that fails', ({ driver }) => (driver.onStart = () => Promise.reject(new DriverError('failed', 'runc said no'))), { message: 'The sandbox could not be started', status: 503, retryAfter: 5 }],
      ['a setup that fails', ({ driver }) => (driver.onExec = async () => ({ exitCode: 1 })), { message: 'Setup command 1 exited with code 1', status: 500 }],
      ['a setup that takes too long', ({ driver }) => (driver.onExec = async () => ({ timedOut: true })), { message: 'Setup command 1 timed out after 120000 ms', status: 500, timedOut: true }],
      ['a box that dies', ({ driver }) => (driver.onExec = async (_options, box) => (box.end('oom'), Promise.reject(new DriverError('unavailable', 'The sandbox went away')))), { message: 'The sandbox went away', status: 503, retryAfter: 5 }],
    ])('leaves no box, disk or row after %s', async (_what, fail, envelope) => {
      fail(node);
      expect((await expectError(create({ setup: ['make'] }), 'sandbox_error')).toEnvelope().error).toEqual({ code: 'sandbox_error', ...envelope });
      expect((await node.sandboxes.list(caller, {})).items).toEqual([]);
      expect([node.driver.boxes.size, node.driver.disks.size, await node.rows.removals()]).toEqual([0, 0, []]);
    });

    it('ends when its call is given up', async () => {
      const aborter = new AbortController();
      node.driver.onExec = async ({ signal }) => {
        aborter.abort();
        signal?.throwIfAborted();
        return {};
      };
      const error = await expectError(node.sandboxes.create(caller, request({ agent: 'reviewer', setup: ['make'] }), { signal: aborter.signal }), 'sandbox_error');
      expect(error).toMatchObject({ message: 'The sandbox was not ready in time', status: 503 });
      expect([node.driver.boxes.size, node.driver.disks.size, await node.rows.removals()]).toEqual([0, 0, []]);
    });

    it('needs an agent of the same team', async () => {
      expect((await expectError(create({ agent: 'nobody' }), 'not_found')).message).toBe('Agent not found');
      expect((await expectError(create({}, makeCaller()), 'not_found')).message).toBe('Agent not found');
    });

    it('keeps the values of envs encrypted', async () => {
      const { id } = await create({ envs: { API_TOKEN: 'planted-secret' } });
      const [row] = await database.$queryRaw<{ row: string }[]>`SELECT row_to_json(sandboxes)::text AS row FROM sandbox.sandboxes WHERE sandbox_id = ${id}`;
      expect(row?.row).toContain('ciphertext');
      expect(row?.row).not.toContain('planted-secret');
    });
  });

  describe('look-up', () => {
    it('finds newest first, page by page, what all filters match', async () => {
      await put('other');
      const made: string[] = [];
      for (let index = 0; index < 7; index++) made.push((await create({ metadata: { plan: index % 2 === 0 ? 'pro' : 'free', index: String(index) } })).id);
      await create({ agent: 'other', metadata: { plan: 'pro' } });
      const ids = ({ items }: { items: readonly SandboxSummary[] }) => items.map(({ id }) => id);
      const newest = [...made].reverse();

      expect(ids(await node.sandboxes.list(caller, { agent: 'reviewer' }))).toEqual(newest);
      const first = await node.sandboxes.list(caller, { agent: 'reviewer', limit: 4 });
      const rest = await node.sandboxes.list(caller, { agent: 'reviewer', limit: 4, cursor: first.nextCursor ?? '' });
      expect([...ids(first), ...ids(rest)]).toEqual(newest);
      expect(rest.nextCursor).toBeNull();
      await expectError(node.sandboxes.list(caller, { limit: 4, cursor: first.nextCursor ?? '' }), 'validation_error');

      expect(ids(await node.sandboxes.list(caller, { metadata: { plan: 'pro' } }))).toHaveLength(5);
      expect(ids(await node.sandboxes.list(caller, { metadata: { plan: 'pro', index: '2' } }))).toEqual([made[2]]);
      expect(ids(await node.sandboxes.list(caller, { metadata: { plan: "pro' OR true --" } }))).toEqual([]);
      expect(ids(await node.sandboxes.list(caller, { agent: 'nobody' }))).toEqual([]);
      expect(ids(await node.sandboxes.list(caller, { status: 'stopped' }))).toEqual([]);
      expect(ids(await node.sandboxes.list(caller, { status: 'active', agent: 'other' }))).toHaveLength(1);
      expect((await node.sandboxes.list(caller, { limit: 1 })).items[0]).not.toHaveProperty('threads');
    });

    it('needs the agent where two use the same id', async () => {
      await put('other');
      await createNamed('reviewer', 'user-123');
      expect(await get('user-123')).toMatchObject({ id: 'user-123', sandboxId: 'user-123', agent: { slug: 'reviewer' } });
      await createNamed('other', 'user-123');
      await expectError(get('user-123'), 'conflict');
      await expectError(exec('user-123'), 'conflict');
      await expectError(node.sandboxes.delete(caller, { id: 'user-123' }), 'conflict');
      expect(await node.sandboxes.get(caller, { id: 'user-123', agent: 'other' })).toMatchObject({ agent: { slug: 'other' } });
      await node.sandboxes.delete(caller, { id: 'user-123', agent: 'other' });
      expect(await get('user-123')).toMatchObject({ agent: { slug: 'reviewer' } });
    });

    it('shows threads newest first', async () => {
      const { id } = await create();
      const { id: sandboxRowId } = await rowOf(id);
      for (const second of [1, 3, 2]) await database.thread.create({ data: { id: uuidV4(), sandboxRowId, name: `t${second}`, createdAt: new Date(Date.UTC(2026, 2, 1, 9, 30, second, 5)) } });
      const { threads } = await get(id);
      expect(threads.map(({ name }) => name)).toEqual(['t3', 't2', 't1']);
      expect(threads[0]).toEqual({ id: expect.any(String), name: 't3', status: 'idle', externalUserId: null, createdAt: '2026-03-01T09:30:03.005Z', updatedAt: expect.stringMatching(/\.\d{3}Z$/) });
    });

    it.each<[whose: string, id: (own: string) => string, by: () => Caller]>([
      ['another team', own => own, () => makeCaller()],
      ['nobody', () => uuidV4(), () => caller],
      ['an id that cannot be one', () => '../../etc', () => caller],
      ['a token for other agents', own => own, () => ({ ...caller, agents: ['other'] })],
      ['a token of another end user', own => own, () => ({ ...caller, endUserId: 'user-2' })],
    ])('hides what belongs to %s behind the same 404', async (_whose, id, by) => {
      const own = (await create({ externalUserId: 'user-1' })).id;
      const other = by();
      for (const attempt of [() => get(id(own), other), () => exec(id(own), {}, other), () => node.sandboxes.delete(other, { id: id(own) })]) {
        expect((await expectError(attempt(), 'not_found')).toEnvelope()).toEqual({ error: { code: 'not_found', message: 'Sandbox not found', status: 404 } });
      }
      if (id(own) === own) expect((await node.sandboxes.list(other, {})).items).toEqual([]);
      expect(await get(own)).toMatchObject({ status: 'active' });
    });

    it('shows an end user the sandboxes of everyone and the threads of nobody else', async () => {
      const shared = (await create()).id;
      const own = (await create({ externalUserId: 'user-1' })).id;
      const { id: sandboxRowId } = await rowOf(shared);
      for (const externalUserId of ['user-1', 'user-2', null]) await database.thread.create({ data: { id: uuidV4(), sandboxRowId, externalUserId } });
      const token: Caller = { ...caller, agents: ['reviewer'], endUserId: 'user-1' };
      expect((await node.sandboxes.list(token, {})).items.map(({ id }) => id)).toEqual([own, shared]);
      expect((await get(shared, token)).threads.map(({ externalUserId }) => externalUserId)).toEqual(['user-1']);
      await exec(shared, {}, token);
    });
  });

  describe('deletion', () => {
    it('frees box, disk and row; the second one finds nothing', async () => {
      const { id } = await create();
      await node.sandboxes.delete(caller, { id });
      expect([node.driver.boxes.size, node.driver.disks.size, await node.rows.removals()]).toEqual([0, 0, []]);
      await expectError(node.sandboxes.delete(caller, { id }), 'not_found');
      await expectError(exec(id), 'not_found');
    });

    it('of hundreds at once, succeeds for exactly one', async () => {
      const { id } = await create();
      const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => node.sandboxes.delete(caller, { id })));
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'not_found', message: 'Sandbox not found' });
      expect([node.driver.boxes.size, node.driver.disks.size]).toEqual([0, 0]);
    });

    it('ends a creation in progress', async () => {
      const started = withResolvers();
      node.driver.onStart = async (_spec, signal) => {
        started.resolve();
        await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
      };
      const creation = expectError(create(), 'not_found');
      await started.promise;
      const [{ id } = { id: '' }] = (await node.sandboxes.list(caller, {})).items;
      await node.sandboxes.delete(caller, { id });
      expect((await creation).message).toBe('Sandbox not found');
      expect([node.driver.boxes.size, node.driver.disks.size, await node.rows.removals()]).toEqual([0, 0, []]);
    });

    it('leaves nothing behind among hundreds of creations, commands and deletions at once', async () => {
      const ids = (await Promise.all(Array.from({ length: 40 }, () => create()))).map(({ id }) => id);
      const work = ids.flatMap(id => [exec(id), node.sandboxes.delete(caller, { id }), exec(id), node.sandboxes.delete(caller, { id }), create()]);
      for (const outcome of await Promise.allSettled(work)) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: expect.stringMatching(/^(not_found|sandbox_error)$/) });
      const left = (await node.sandboxes.list(caller, { limit: 100 })).items;
      expect(left).toHaveLength(40);
      await Promise.all(left.map(({ id }) => node.sandboxes.delete(caller, { id })));
      expect([node.driver.boxes.size, node.driver.disks.size, await node.rows.removals()]).toEqual([0, 0, []]);
    });

    it('that cannot free the box is finished by the next sweep', async () => {
      const { id } = await create();
      node.driver.onEnd = () => Promise.reject(new DriverError('timed-out', 'It does not die'));
      await node.sandboxes.delete(caller, { id });
      await expectError(get(id), 'not_found');
      expect(await node.rows.removals()).toHaveLength(1);
      node.driver.onEnd = async () => undefined;
      await node.reconciling.run();
      expect([node.driver.boxes.size, node.driver.disks.size, await node.rows.removals()]).toEqual([0, 0, []]);
    });
  });

  describe('commands', () => {
    it('get the envs of agent, sandbox and command, the narrowest winning', async () => {
      await put('reviewer', { envs: { A: 'agent', B: 'agent', C: 'agent' } });
      const { id } = await create({ envs: { B: 'sandbox', C: 'sandbox' } });
      await put('reviewer', { envs: { A: 'a later version' } });
      await exec(id, { command: 'env', envs: { C: 'command' } });
      expect((await boxOf(id)).commands).toEqual([{ command: 'env', cwd: '/home/user', env: { A: 'agent', B: 'sandbox', C: 'command' }, timeoutMs: 60_000, capBytes: 10_485_760 }]);
    });

    it('answer text, the exit code and whether anything was cut', async () => {
      const { id } = await create();
      node.driver.onExec = async () => ({ stdout: Buffer.from([0x68, 0x69, 0xff, 0x0a]), stderr: Buffer.from('ü'), exitCode: 137, truncated: true });
      expect(await exec(id, { cwd: 'a/../b', timeoutMs: 5 })).toEqual({ stdout: 'hi\u{fffd}\n', stderr: 'ü', exitCode: 137, truncated: true });
      expect((await boxOf(id)).commands).toMatchObject([{ cwd: '/home/user/b', timeoutMs: 5 }]);
    });

    it.each<[what: string, outcome: () => Promise<object>, envelope: object]>([
      ['run too long', async () => ({ timedOut: true }), { code: 'sandbox_error', message: 'Command timed out after 60000 ms', status: 500, timedOut: true }],
      ['have no such directory', () => Promise.reject(new DriverError('bad-cwd', 'no')), { code: 'not_found', message: 'File not found', status: 404 }],
      ['lose their sandbox', () => Promise.reject(new DriverError('unavailable', 'The sandbox went away')), { code: 'sandbox_error', message: 'The sandbox went away', status: 503, retryAfter: 5 }],
      ['cannot be run', () => Promise.reject(new DriverError('failed', 'The environment is too large')), { code: 'sandbox_error', message: 'The environment is too large', status: 500 }],
    ])('that %s fail as the contract says', async (_what, outcome, envelope) => {
      const { id } = await create();
      node.driver.onExec = outcome;
      await expect(exec(id)).rejects.toMatchObject({ code: expect.any(String) });
      expect(await exec(id).catch((error: { toEnvelope(): { error: object } }) => error.toEnvelope().error)).toEqual(envelope);
    });

    it('are sent to the node that holds the sandbox', async () => {
      const { id } = await create();
      const other = makeNode(database);
      for (const attempt of [() => other.sandboxes.exec(caller, { id, command: 'true' }), () => other.sandboxes.delete(caller, { id })]) {
        await expect(attempt()).rejects.toEqual(new HeldElsewhere(node.nodeId));
      }
      expect(await other.sandboxes.get(caller, { id })).toMatchObject({ id });
    });
  });

  describe('idle time', () => {
    it('stops a sandbox that nobody uses, and not before', async () => {
      const { id } = await create({ timeoutMs: 1_234 });
      expect(node.timers.delays).toEqual([1_234]);
      const release = withResolvers();
      node.driver.onExec = async () => (await release.promise, {});
      const commands = [exec(id), exec(id)];
      await eventually(async () => expect((await boxOf(id)).commands).toHaveLength(2));
      expect(node.timers.delays).toEqual([]);
      release.resolve();
      await Promise.all(commands);
      expect(node.timers.delays).toEqual([1_234]);

      node.timers.goOff();
      await eventually(async () => expect(await get(id)).toMatchObject({ status: 'stopped', error: null }));
      expect([node.driver.boxes.size, node.driver.disks.size]).toEqual([0, 1]);
    });

    it('is that of the agent where the request gave none', async () => {
      await put('reviewer', { sandbox: { timeoutMs: 7_000 } });
      await create();
      expect(node.timers.delays).toEqual([7_000]);
    });
  });

  describe('a sandbox that does not run', () => {
    const stopped = async (): Promise<string> => {
      const { id } = await create();
      node.timers.goOff();
      await eventually(async () => expect(await get(id)).toMatchObject({ status: 'stopped' }));
      return id;
    };

    it('is started once by a hundred commands at once, on the same disk, in its next life', async () => {
      const id = await stopped();
      await Promise.all(Array.from({ length: 100 }, () => exec(id)));
      const { id: rowId } = await rowOf(id);
      expect(node.driver.starts).toMatchObject([{ sandboxId: rowId, generation: 1 }, { sandboxId: rowId, generation: 2 }]);
      expect((await boxOf(id)).commands).toHaveLength(100);
      expect(await get(id)).toMatchObject({ status: 'active' });
    });

    it('is started again after it was lost, and says why until then', async () => {
      for (const [why, error] of [['oom', 'The sandbox ran out of memory'], ['crashed', 'The sandbox ended unexpectedly'], ['lost', 'The sandbox no longer answers']] as const) {
        const { id } = await create();
        (await boxOf(id)).end(why);
        await eventually(async () => expect(await get(id)).toMatchObject({ status: 'error', error }));
        await exec(id);
        expect(await get(id)).toMatchObject({ status: 'active', error: null });
      }
    });

    it('is started even when the end of its box has not been written down yet', async () => {
      const { id } = await create();
      (await boxOf(id)).end('crashed');
      await exec(id);
      await eventually(async () => expect(await get(id)).toMatchObject({ status: 'active', error: null }));
    });

    it('that does not start fails all who wait, and is tried again by the next', async () => {
      const id = await stopped();
      node.driver.onStart = () => Promise.reject(new DriverError('no-capacity', 'full'));
      const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => exec(id)));
      for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'No sandbox capacity is available', status: 503 } });
      expect(await get(id)).toMatchObject({ status: 'error', error: 'The sandbox could not be started' });
      expect(node.driver.disks.size).toBe(1);
      node.driver.onStart = async () => undefined;
      await exec(id);
      expect(await get(id)).toMatchObject({ status: 'active', error: null });
    });

    it('is not started for a command that comes while it is deleted', async () => {
      const id = await stopped();
      const starting = withResolvers();
      node.driver.onStart = async (_spec, signal) => {
        starting.resolve();
        await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
      };
      const waking = expectError(exec(id), 'not_found');
      await starting.promise;
      await node.sandboxes.delete(caller, { id });
      await waking;
      expect([node.driver.boxes.size, node.driver.disks.size, await node.rows.removals()]).toEqual([0, 0, []]);
    });
  });
});

interface Resolvers {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}
const withResolvers = (): Resolvers => {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>(done => (resolve = done));
  return { promise, resolve };
};
