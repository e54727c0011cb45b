import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Caller, isUuid, type SandboxSummary, uuidV4 } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { expectError } from '@gatehouse/testing';
import { DriverError } from '../drivers/driver-error.js';
import { makeCaller, makeNode, openTestDatabase, request, type TestNode } from '../testing/test-node.js';
import { gate, leftOn, NOTHING, makeTeam, type TestTeam } from '../testing/test-team.js';

describe('sandboxes', () => {
  let database: Database;
  let node: TestNode;
  let caller: TestTeam['caller'];
  let put: TestTeam['put'];
  let create: TestTeam['create'];
  let createNamed: TestTeam['createNamed'];
  let exec: TestTeam['exec'];
  let get: TestTeam['get'];
  let rowOf: TestTeam['rowOf'];
  let boxOf: TestTeam['boxOf'];
  beforeAll(() => {
    database = openTestDatabase();
  });
  afterAll(() => database.$disconnect());
  beforeEach(async () => {
    node = makeNode(database);
    ({ caller, put, create, createNamed, exec, get, rowOf, boxOf } = await makeTeam(database, node));
  });

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
      const started = gate();
      const release = gate();
      node.driver.onStart = async () => {
        started.open();
        await release.promise;
      };
      const creation = create();
      await started.promise;
      const [{ id } = { id: '' }] = (await node.sandboxes.list(caller, {})).items;
      expect(await get(id)).toMatchObject({ status: 'creating' });
      expect((await expectError(exec(id), 'sandbox_error')).toEnvelope()).toEqual({
        error: { code: 'sandbox_error', message: 'The sandbox is still being created', status: 503, retryAfter: 5 },
      });
      release.open();
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
      expect(await leftOn(node)).toEqual(NOTHING);
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
      expect(await leftOn(node)).toEqual(NOTHING);
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
      await createNamed('reviewer', { sandboxId: 'user-123' });
      expect(await get('user-123')).toMatchObject({ id: 'user-123', sandboxId: 'user-123', agent: { slug: 'reviewer' } });
      await createNamed('other', { sandboxId: 'user-123' });
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
});
