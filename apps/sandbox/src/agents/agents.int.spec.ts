import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Agent, type Caller, type Coverage, notFound, type ResolveVaults, uuidV4 } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { expectError } from '@gatehouse/testing';
import { agentPlace, openEnvs } from '../envs/sealed-envs.js';
import { call, definition, makeCaller, makeNode, openTestDatabase, request, type TestNode } from '../testing/test-node.js';
import { AgentsStore } from './agents.store.js';

describe('agents', () => {
  let database: Database;
  let node: TestNode;
  beforeAll(() => {
    database = openTestDatabase();
    node = makeNode(database);
  });
  afterAll(() => database.$disconnect());

  const put = (caller: Caller, slug: string, body: object = {}) => node.agents.put(caller, definition(slug, body), call);

  it('are made by the first put and get a version with each', async () => {
    const caller = makeCaller();
    const first = await put(caller, 'reviewer', { name: 'Reviewer', maxBudgetUsd: '2.50', sandbox: { files: [{ path: 'a', content: '\0' }] }, systemPrompt: 'nul \0 and half a pair \ud800' });
    expect(first).toMatchObject({ created: true, agent: { slug: 'reviewer', version: 1, latestVersion: 1, name: 'Reviewer', maxBudgetUsd: 2.5, sandbox: { files: { a: '\0' } }, envKeys: [] } });
    const second = await put(caller, 'reviewer', { model: 'opus' });
    expect(second).toMatchObject({ created: false, agent: { id: first.agent.id, version: 2, latestVersion: 2, name: 'reviewer', model: 'opus', createdAt: first.agent.createdAt } });
    expect(await node.agents.get(caller, { slug: 'reviewer' })).toEqual(second.agent);
    expect(await node.agents.rollback(caller, { slug: 'reviewer', version: 1 })).toEqual({ ...first.agent, latestVersion: 2, updatedAt: expect.any(String) });
  });

  it.each([1, 20])('give %i teams hundreds of puts at once the versions 1 to n, each once', async teams => {
    const callers = Array.from({ length: teams }, () => makeCaller());
    const attempts = 300;
    const outcomes = await Promise.all(Array.from({ length: attempts }, (_, index) => put(callers[index % teams] ?? makeCaller(), 'busy', { maxTurns: (index % 500) + 1 })));
    for (const [index, caller] of callers.entries()) {
      const mine = outcomes.filter((_, at) => at % teams === index);
      expect(mine.map(({ agent }) => agent.version).sort((a, b) => a - b)).toEqual(mine.map((_, at) => at + 1));
      expect(mine.filter(({ created }) => created)).toHaveLength(1);
      expect(new Set(mine.map(({ agent }) => agent.id)).size).toBe(1);
      const last = await node.agents.get(caller, { slug: 'busy' });
      expect(last).toMatchObject({ version: mine.length, latestVersion: mine.length });
      expect(last.maxTurns).toBe(mine.find(({ agent }) => agent.version === mine.length)?.agent.maxTurns);
    }
  });

  it('are written by two processes at once without losing a version', async () => {
    const caller = makeCaller();
    const other = makeNode(database);
    const outcomes = await Promise.all(Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? node : other).agents.put(caller, definition('shared'), call)));
    expect(outcomes.map(({ agent }) => agent.version).sort((a, b) => a - b)).toEqual(outcomes.map((_, index) => index + 1));
  });

  it('keep the values of envs encrypted and show their names, sorted', async () => {
    const caller = makeCaller();
    const { agent } = await put(caller, 'secretive', { envs: { LOG_LEVEL: 'debug', API_TOKEN: 'planted-secret' } });
    expect(agent.envKeys).toEqual(['API_TOKEN', 'LOG_LEVEL']);
    const rows = await database.$queryRaw<{ row: string }[]>`SELECT row_to_json(versions)::text AS row FROM sandbox.agent_versions versions WHERE agent_id = ${agent.id}::uuid`;
    const seen = JSON.stringify([agent, await node.agents.versions(caller, { slug: 'secretive' }), rows]);
    expect(seen).not.toContain('planted-secret');
    expect(seen).not.toContain(Buffer.from('planted-secret').toString('base64').slice(0, 12));

    const kept = await new AgentsStore(database).findForSandbox(caller.teamId, 'secretive');
    expect(await openEnvs(node.keyRing, kept?.envs ?? null, agentPlace(caller.teamId, agent.id, 1))).toEqual({ LOG_LEVEL: 'debug', API_TOKEN: 'planted-secret' });
    await expect(openEnvs(node.keyRing, kept?.envs ?? null, agentPlace(caller.teamId, agent.id, 2))).rejects.toThrow('Envelope does not open');
  });

  it('are listed newest first, page by page, each once', async () => {
    const caller = makeCaller();
    await Promise.all(Array.from({ length: 25 }, (_, index) => put(caller, `agent-${index}`)));
    await put(makeCaller(), 'of-another-team');
    const seen: Agent[] = [];
    let cursor: string | undefined;
    do {
      const page = await node.agents.list(caller, { limit: 10, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.items);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toHaveLength(25);
    expect(new Set(seen.map(({ slug }) => slug)).size).toBe(25);
    expect(seen.map(({ createdAt }) => createdAt)).toEqual(seen.map(({ createdAt }) => createdAt).sort().reverse());
    expect((await node.agents.list(caller, {})).items).toHaveLength(20);
  });

  it('refuse cursors that are none of theirs', async () => {
    const caller = makeCaller();
    const other = makeCaller();
    await Promise.all([put(caller, 'a'), put(caller, 'b'), put(caller, 'a'), put(caller, 'b')]);
    const agents = (await node.agents.list(caller, { limit: 1 })).nextCursor ?? '';
    const versions = (await node.agents.versions(caller, { slug: 'a', limit: 1 })).nextCursor ?? '';
    for (const attempt of [
      () => node.agents.list(caller, { cursor: 'garbage' }),
      () => node.agents.list(caller, { cursor: versions }),
      () => node.agents.list(other, { cursor: agents }),
      () => node.agents.versions(caller, { slug: 'b', cursor: versions }),
    ])
      expect((await expectError(attempt(), 'validation_error')).message).toBe('cursor is not a cursor of this list');
  });

  it('list their versions highest first and say which one is active', async () => {
    const caller = makeCaller();
    for (let version = 1; version <= 4; version++) await put(caller, 'versioned', { name: `v${version}`, envs: { [`KEY_${version}`]: 'x' } });
    await node.agents.rollback(caller, { slug: 'versioned', version: 2 });
    const first = await node.agents.versions(caller, { slug: 'versioned', limit: 3 });
    const rest = await node.agents.versions(caller, { slug: 'versioned', limit: 3, cursor: first.nextCursor ?? '' });
    expect(rest.nextCursor).toBeNull();
    const all = [...first.items, ...rest.items];
    expect(all.map(({ version, active, keyId }) => ({ version, active, keyId }))).toEqual([4, 3, 2, 1].map(version => ({ version, active: version === 2, keyId: caller.keyId })));
    expect(all[0]?.definition).toMatchObject({ name: 'v4', envKeys: ['KEY_4'], sandbox: { cwd: '/home/user/workspace' } });
    expect((await put(caller, 'versioned')).agent).toMatchObject({ version: 5, latestVersion: 5 });
  });

  it('are rolled back only to another version that exists', async () => {
    const caller = makeCaller();
    await put(caller, 'once');
    expect((await expectError(node.agents.rollback(caller, { slug: 'once', version: 1 }), 'conflict')).message).toBe('Version 1 is already active');
    expect((await expectError(node.agents.rollback(caller, { slug: 'once', version: 2 }), 'not_found')).message).toBe('Version not found');
    expect((await expectError(node.agents.rollback(caller, { slug: 'never', version: 1 }), 'not_found')).message).toBe('Agent not found');
  });

  it.each(['another team', 'no agent', 'a slug that cannot be one', 'a slug with NUL'])('of %s are not there', async whose => {
    const owner = makeCaller();
    await put(owner, 'mine');
    const [caller, slug] = whose === 'another team' ? [makeCaller(), 'mine'] : [owner, whose === 'no agent' ? 'nobody' : whose === 'a slug with NUL' ? 'a\0b' : 'NOT A SLUG'];
    for (const attempt of [
      () => node.agents.get(caller, { slug }),
      () => node.agents.delete(caller, { slug }),
      () => node.agents.versions(caller, { slug }),
      () => node.agents.rollback(caller, { slug, version: 1 }),
      () => node.agents.coverage(caller, { slug }, call),
    ])
      expect((await expectError(attempt(), 'not_found')).message).toBe('Agent not found');
  });

  const LINEAR = { name: 'linear', url: 'https://mcp.linear.app/mcp' };
  const NOTION = { name: 'notion', url: 'https://mcp.notion.com/mcp' };

  it('tell which of them declare servers in their active version, by name and slug', async () => {
    const caller = makeCaller();
    await put(makeCaller(), 'of-another-team', { mcpServers: [LINEAR] });
    await put(caller, 'silent');
    const second = await put(caller, 'second', { name: 'Same', mcpServers: [NOTION, LINEAR] });
    const first = await put(caller, 'first', { name: 'Same', mcpServers: [LINEAR] });
    await put(caller, 'rolled', { name: 'Before', mcpServers: [NOTION] });
    const rolled = await put(caller, 'rolled', { name: 'After' });
    const told = (made: typeof first, changes: object = {}) => ({ id: made.agent.id, name: made.agent.name, slug: made.agent.slug, activeVersion: 1, servers: made.agent.mcpServers, ...changes });
    expect(await node.agents.servers(caller)).toEqual([told(first), told(second)]);
    await node.agents.rollback(caller, { slug: 'rolled', version: 1 });
    expect(await node.agents.servers(caller)).toEqual([told(rolled, { name: 'Before', servers: [NOTION] }), told(first), told(second)]);
    await node.agents.delete(caller, { slug: 'first' });
    await put(caller, 'second');
    expect((await node.agents.servers(caller)).map(({ slug }) => slug)).toEqual(['rolled']);
  });

  it('declare servers whatever characters their names and addresses are made of', async () => {
    const caller = makeCaller();
    const odd = { name: 'half \ud800 of a pair, \u{1f600} whole', url: 'https://h.example/\udfff' };
    const { agent } = await put(caller, 'odd', { mcpServers: [odd] });
    expect(agent.mcpServers).toEqual([odd]);
    expect((await node.agents.servers(caller))[0]?.servers).toEqual([{ name: 'half \ufffd of a pair, \u{1f600} whole', url: 'https://h.example/\ufffd' }]);
  });

  it('ask the vaults for what the active version needs, in the name of the caller', async () => {
    const asked: { caller: Caller; input: ResolveVaults }[] = [];
    const coverage: Coverage = { ok: true, mode: 'warn', source: 'none', vaultIds: [], services: [], missing: [], warnings: [] };
    const resolve = (asking: Caller, input: ResolveVaults): Promise<Coverage> => Promise.resolve(coverage).finally(() => asked.push({ caller: asking, input }));
    const covering = makeNode(database, { vaults: { resolve } });
    const caller = makeCaller();
    const vaultIds = [uuidV4(), uuidV4()];
    // Postgres can keep this definition, but not look into it.
    await put(caller, 'covered', { systemPrompt: 'nul \0', mcpServers: [NOTION, LINEAR], vaultIds });
    await put(caller, 'covered', {});
    await covering.agents.rollback(caller, { slug: 'covered', version: 1 });

    const own = { agentVaultIds: vaultIds, servers: [NOTION, LINEAR] };
    for (const given of [{}, { vaultIds: [] }, { vaultIds: [vaultIds[1] ?? '', vaultIds[1] ?? ''], externalUserId: 'u1' }]) {
      expect(await covering.agents.coverage(caller, { slug: 'covered', ...given }, call)).toBe(coverage);
      expect(asked.pop()).toStrictEqual({ caller, input: { ...given, ...own } });
    }
    await covering.agents.rollback(caller, { slug: 'covered', version: 2 });
    await covering.agents.coverage(caller, { slug: 'covered' }, call);
    expect(asked.pop()).toStrictEqual({ caller, input: { agentVaultIds: [], servers: [] } });
    await expectError(covering.agents.coverage(makeCaller(), { slug: 'covered' }, call), 'not_found');
    expect(asked).toEqual([]);
  });

  it('say what the vaults say when those refuse', async () => {
    const refusing = makeNode(database, { vaults: { resolve: () => Promise.reject(notFound('Vault')) } });
    const caller = makeCaller();
    await put(caller, 'refused');
    expect((await expectError(refusing.agents.coverage(caller, { slug: 'refused', vaultIds: [uuidV4()] }, call), 'not_found')).message).toBe('Vault not found');
    await expectError(node.agents.coverage(caller, { slug: 'refused' }, call), 'internal_error');
  });

  it('take their sandboxes, threads and versions with them, and start again at version 1', async () => {
    const caller = makeCaller();
    const { agent } = await put(caller, 'doomed');
    await put(caller, 'doomed');
    const { id } = await node.sandboxes.create(caller, request({ agent: 'doomed' }), call);
    const [row] = await database.sandbox.findMany({ where: { teamId: caller.teamId } });
    await database.thread.create({ data: { id: uuidV4(), sandboxRowId: row?.id ?? '' } });
    expect(node.driver.boxes.has(row?.id ?? '')).toBe(true);

    await node.agents.delete(caller, { slug: 'doomed' });
    await expectError(node.sandboxes.get(caller, { id }), 'not_found');
    await expectError(node.agents.delete(caller, { slug: 'doomed' }), 'not_found');
    expect(node.driver.boxes.has(row?.id ?? '')).toBe(false);
    expect(node.driver.disks.has(row?.id ?? '')).toBe(false);
    expect(await database.thread.count({ where: { sandboxRowId: row?.id ?? '' } })).toBe(0);
    expect(await database.agentVersion.count({ where: { agentId: agent.id } })).toBe(0);
    expect(await node.rows.removals()).toEqual([]);
    expect(await put(caller, 'doomed')).toMatchObject({ created: true, agent: { version: 1, latestVersion: 1 } });
  });

  it('leave no sandbox behind when they are deleted while sandboxes are made', async () => {
    const caller = makeCaller();
    for (let round = 0; round < 10; round++) {
      await put(caller, 'contested');
      const outcomes = await Promise.allSettled([
        ...Array.from({ length: 10 }, () => node.sandboxes.create(caller, request({ agent: 'contested' }), call)),
        node.agents.delete(caller, { slug: 'contested' }),
        ...Array.from({ length: 10 }, () => node.sandboxes.create(caller, request({ agent: 'contested' }), call)),
      ]);
      for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'not_found' });
      expect(await database.sandbox.count({ where: { teamId: caller.teamId } })).toBe(0);
      expect(await node.rows.removals()).toEqual([]);
      expect([...node.driver.disks]).toEqual([]);
    }
  });
});
