import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Caller, CreateThread, isUuid, parseInput, type ThreadSummary, uuidV4, uuidV7 } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { expectError } from '@gatehouse/testing';
import { makeCaller, makeNode, openTestDatabase, type TestNode } from '../testing/test-node.js';
import { makeTeam, type TestTeam } from '../testing/test-team.js';
import { ThreadsService } from './threads.service.js';
import { ThreadsStore } from './threads.store.js';

describe('threads', () => {
  let database: Database;
  let node: TestNode;
  let team: TestTeam;
  let threads: ThreadsService;
  let caller: Caller;
  let id: string;
  beforeAll(() => {
    database = openTestDatabase();
    threads = new ThreadsService(new ThreadsStore(database));
  });
  afterAll(() => database.$disconnect());
  beforeEach(async () => {
    node = makeNode(database);
    team = await makeTeam(database, node);
    ({ caller } = team);
    ({ id } = await team.create());
  });

  const create = (body: object = {}, by: Caller = caller): Promise<ThreadSummary> => threads.create(by, parseInput(CreateThread, { id, ...body }));
  const countOf = (threadIds: readonly string[]): Promise<number> => database.thread.count({ where: { id: { in: [...threadIds] } } });
  const told = async (work: Promise<unknown>): Promise<object> => (await expectError(work, 'not_found')).toEnvelope().error;
  const noSandbox = { code: 'not_found', message: 'Sandbox not found', status: 404 };
  const noThread = { code: 'not_found', message: 'Thread not found', status: 404 };

  it('are idle at first, with a name and a user or without', async () => {
    const plain = await create();
    expect(plain).toEqual({ id: expect.any(String), name: null, status: 'idle', externalUserId: null, createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/), updatedAt: plain.createdAt });
    expect(isUuid(plain.id) && plain.id[14] === '7').toBe(true);
    expect(await create({ name: ` ${'n'.repeat(200)} `, externalUserId: ` ${'u'.repeat(255)} ` })).toMatchObject({ name: 'n'.repeat(200), externalUserId: 'u'.repeat(255) });
    expect(await create({ name: ' \t', externalUserId: '  ' })).toMatchObject({ name: null, externalUserId: null });
    expect(await create({ name: null, externalUserId: null })).toMatchObject({ name: null, externalUserId: null });
  });

  it('answer what was stored of a name that has no bytes of its own', async () => {
    const { id: threadId, name } = await create({ name: 'half \ud800 a pair' });
    expect(await threads.get(caller, { id, threadId })).toMatchObject({ name });
  });

  it('have details, empty while nothing has run', async () => {
    const summary = await create({ name: 'Say hello' });
    const detail = { ...summary, messages: [], usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0, totalCostUsd: 0, durationMs: 0 }, error: null, completedAt: null };
    expect(await threads.get(caller, { id, threadId: summary.id })).toEqual(detail);
    expect(await threads.get(caller, { id, threadId: summary.id.toUpperCase() })).toEqual(detail);
  });

  it('are listed newest first, those of one millisecond in the order they were made', async () => {
    const made: string[] = [];
    for (let count = 0; count < 20; count++) made.unshift((await create()).id);
    expect((await threads.list(caller, { id })).map(thread => thread.id)).toEqual(made);
    expect((await team.get(id)).threads).toEqual(await threads.list(caller, { id }));
  });

  it('are shown up to the newest 1000, in the list and in the sandbox', async () => {
    const { id: sandboxRowId } = await team.rowOf(id);
    const data = Array.from({ length: 1_003 }, (_unused, index) => ({ id: uuidV7(), sandboxRowId, name: `${index}`, createdAt: new Date(Date.UTC(2026, 2, 1) + Math.floor(index / 2)) }));
    await database.thread.createMany({ data });
    const names = Array.from({ length: 1_000 }, (_unused, index) => `${1_002 - index}`);
    expect((await threads.list(caller, { id })).map(({ name }) => name)).toEqual(names);
    expect((await team.get(id)).threads.map(({ name }) => name)).toEqual(names);
    // Those that are not shown are there.
    expect(await threads.get(caller, { id, threadId: data[0]?.id ?? '' })).toMatchObject({ name: '0' });
  });

  it('are deleted once', async () => {
    const { id: threadId } = await create();
    const kept = await create();
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => threads.delete(caller, { id, threadId })));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await told(threads.delete(caller, { id, threadId }))).toEqual(noThread);
    expect(await told(threads.get(caller, { id, threadId }))).toEqual(noThread);
    expect(await threads.list(caller, { id })).toEqual([kept]);
  });

  it('go with their sandbox, also while they are made', async () => {
    const threadIds = [(await create()).id, (await create()).id];
    const racing = Array.from({ length: 10 }, () => create().then(thread => threadIds.push(thread.id), () => undefined));
    await node.sandboxes.delete(caller, { id });
    await Promise.all(racing);
    expect(await countOf(threadIds)).toBe(0);
    for (const attempt of [() => create(), () => threads.list(caller, { id }), () => threads.get(caller, { id, threadId: threadIds[0] ?? '' })]) expect(await told(attempt())).toEqual(noSandbox);
  });

  it('neither start their sandbox nor need its node', async () => {
    node.timers.goOff();
    await node.boxes.close({ stop: true });
    expect(await team.get(id)).toMatchObject({ status: 'stopped' });
    const { id: threadId } = await create();
    await threads.get(caller, { id, threadId });
    await threads.list(caller, { id });
    await threads.delete(caller, { id, threadId });
    expect(await team.get(id)).toMatchObject({ status: 'stopped' });
    expect(node.driver.starts).toHaveLength(1);
  });

  it.each<[whose: string, at: () => Promise<{ sandbox: string; thread: string }>, by: () => Caller, answer: object]>([
    ['another team', async () => ({ sandbox: id, thread: (await create()).id }), () => makeCaller(), noSandbox],
    ['a token for other agents', async () => ({ sandbox: id, thread: (await create()).id }), () => ({ ...caller, agents: ['other'] }), noSandbox],
    ['a sandbox that is not there', async () => ({ sandbox: uuidV4(), thread: (await create()).id }), () => caller, noSandbox],
    ['a sandbox id that cannot be one', async () => ({ sandbox: '../\0', thread: (await create()).id }), () => caller, noSandbox],
    ['another sandbox', async () => ({ sandbox: (await team.create()).id, thread: (await create()).id }), () => caller, noThread],
    ['nobody', async () => ({ sandbox: id, thread: uuidV7() }), () => caller, noThread],
    ['an id that cannot be one', async () => ({ sandbox: id, thread: "' OR true --\0" }), () => caller, noThread],
    ['another end user', async () => ({ sandbox: id, thread: (await create({ externalUserId: 'user-1' })).id }), () => ({ ...caller, endUserId: 'user-2' }), noThread],
    ['everyone, seen by one end user', async () => ({ sandbox: id, thread: (await create()).id }), () => ({ ...caller, endUserId: 'user-2' }), noThread],
  ])('of %s are not there', async (_whose, at, by, answer) => {
    const { sandbox, thread: threadId } = await at();
    const rows = () => database.thread.count({ where: { sandbox: { teamId: caller.teamId } } });
    const before = await rows();
    expect(await told(threads.get(by(), { id: sandbox, threadId }))).toEqual(answer);
    expect(await told(threads.delete(by(), { id: sandbox, threadId }))).toEqual(answer);
    if (answer === noSandbox) {
      expect(await told(threads.list(by(), { id: sandbox }))).toEqual(answer);
      expect(await told(create({ id: sandbox }, by()))).toEqual(answer);
    }
    expect(await rows()).toBe(before);
  });

  it('of an end user are those it sees, makes and deletes', async () => {
    const token: Caller = { ...caller, agents: ['reviewer'], endUserId: 'user-1' };
    await create();
    await create({ externalUserId: 'user-2' });
    const own = [await create({ externalUserId: 'someone else' }, token), await create({ externalUserId: 'user-1' })].reverse();
    expect(own.map(({ externalUserId }) => externalUserId)).toEqual(['user-1', 'user-1']);
    expect(await threads.list(token, { id })).toEqual(own);
    for (const { id: threadId } of own) await threads.delete(token, { id, threadId });
    expect(await threads.list(token, { id })).toEqual([]);
    expect(await threads.list(caller, { id })).toHaveLength(2);
  });

  it('need the agent where two use the same sandbox id', async () => {
    await team.put('other');
    for (const slug of ['reviewer', 'other']) await team.createNamed(slug, { sandboxId: 'user-123' });
    for (const attempt of [() => create({ id: 'user-123' }), () => threads.list(caller, { id: 'user-123' }), () => threads.get(caller, { id: 'user-123', threadId: uuidV7() }), () => threads.delete(caller, { id: 'user-123', threadId: 'x' })]) {
      expect((await expectError(attempt(), 'conflict')).status).toBe(409);
    }
    const { id: threadId } = await create({ id: 'user-123', agent: 'other' });
    expect(await threads.get(caller, { id: 'user-123', agent: 'other', threadId })).toMatchObject({ id: threadId });
    expect(await told(threads.get(caller, { id: 'user-123', agent: 'reviewer', threadId }))).toEqual(noThread);
    expect(await threads.list(caller, { id: 'user-123', agent: 'reviewer' })).toEqual([]);
    expect(await told(threads.list(caller, { id: 'user-123', agent: 'none' }))).toEqual(noSandbox);
  });
});
