import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type AppName, type AppProcess, createSystem, type System } from '@gatehouse/testing';
import { type Answer, type Api, apiOf } from './testing/api.js';

// Keys are made by a process of the command line, which takes its time on a busy machine.
jest.setTimeout(30_000);

let system: System;
let processes: Record<AppName, AppProcess>;
/** Three teams: one that has no default vault when a test begins, one that may have, one that nobody else sees. */
let plain: Api;
let choosing: Api;
let stranger: Api;
beforeAll(async () => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' });
  processes = await system.startAll();
  [plain, choosing, stranger] = await Promise.all([makeCall(), makeCall(), makeCall()]);
}, 60_000);
afterAll(async () => system.close(), 60_000);

const makeCall = async (...options: string[]): Promise<Api> => apiOf(processes.gateway, (await system.createKey(...options)).secret);

const LINEAR = { name: 'linear', url: 'https://MCP.Linear.App:443/mcp/' };
const NOTION = { name: 'notion', url: 'https://mcp.notion.com/mcp' };
const CANVA = { name: 'canva', url: 'https://mcp.canva.com/mcp' };

/** A new agent that declares three servers, and short names for what tests do with it and the vaults of its team. */
const agentOf = async (call: Api) => {
  const slug = `agent-${randomUUID()}`;
  const created = async (path: string, body: object): Promise<Record<string, unknown>> => {
    const answer = await call('POST', path, body);
    expect(answer.status).toBe(201);
    return answer.body as Record<string, unknown>;
  };
  const agent = {
    path: `/v1/agents/${slug}`,
    put: async (definition: object = {}): Promise<void> => {
      expect((await call('PUT', `/v1/agents/${slug}`, { mcpServers: [LINEAR, NOTION, CANVA], ...definition })).status).toBeLessThan(300);
    },
    vault: async (metadata: object = {}): Promise<string> => ((await created('/v1/mcp/vaults', { name: 'v', metadata }))['vault'] as { id: string }).id,
    credential: async (vaultId: string, serverUrl: string): Promise<string> => ((await created(`/v1/mcp/vaults/${vaultId}/credentials`, { serverUrl, auth: { type: 'bearer', token: 't' } }))['credential'] as { id: string }).id,
    archive: async (vaultId: string, credentialId?: string): Promise<void> => {
      expect((await call('DELETE', `/v1/mcp/vaults/${vaultId}${credentialId === undefined ? '' : `/credentials/${credentialId}`}`)).status).toBe(200);
    },
    setDefault: async (vaultId: string): Promise<void> => {
      expect((await call('POST', `/v1/mcp/vaults/${vaultId}/set-default`)).status).toBe(200);
    },
    check: async (body: object = {}): Promise<Answer> => call('POST', `/v1/agents/${slug}/coverage`, body),
    found: async (body: object = {}): Promise<unknown> => {
      const answer = await agent.check(body);
      expect(answer.status).toBe(200);
      return answer.body;
    },
  };
  await agent.put();
  return agent;
};

const expectFailure = ({ status, body }: Answer, code: string, expectedStatus: number, message: unknown = expect.any(String), extras: object = {}): void => {
  expect(body).toEqual({ error: { code, message, status: expectedStatus, ...extras } });
  expect(status).toBe(expectedStatus);
};
const lacking = (server: object, status = 'missing'): object => ({ ...server, status, vaultId: null, credentialId: null });
const covered = (server: object, vaultId: string, credentialId: string): object => ({ ...server, status: 'covered', vaultId, credentialId });
const ALL_MISSING = { ok: false, services: [lacking(LINEAR), lacking(NOTION), lacking(CANVA)], missing: ['linear', 'notion', 'canva'] };

describe('services', () => {
  test('are covered, archived or missing, in declaration order', async () => {
    const agent = await agentOf(plain);
    const vaultId = await agent.vault();
    const linear = await agent.credential(vaultId, 'https://mcp.linear.app/mcp');
    await agent.archive(vaultId, await agent.credential(vaultId, NOTION.url));
    const body = await agent.found({ vaultIds: [vaultId] });
    expect(body).toEqual({
      ok: false,
      mode: 'warn',
      source: 'session',
      vaultIds: [vaultId],
      services: [covered(LINEAR, vaultId, linear), lacking(NOTION, 'archived'), lacking(CANVA)],
      missing: ['notion', 'canva'],
      warnings: ['notion: only archived credentials found'],
    });
    expect(Object.keys(body as object)).toEqual(['ok', 'mode', 'source', 'vaultIds', 'services', 'missing', 'warnings']);
    expect(Object.keys((body as { services: object[] }).services[0] ?? {})).toEqual(['name', 'url', 'status', 'vaultId', 'credentialId']);

    const [notion, canva] = [await agent.credential(vaultId, NOTION.url), await agent.credential(vaultId, 'https://mcp.canva.com/mcp#x')];
    expect(await agent.found({ vaultIds: [vaultId] })).toEqual({
      ok: true,
      mode: 'warn',
      source: 'session',
      vaultIds: [vaultId],
      services: [covered(LINEAR, vaultId, linear), covered(NOTION, vaultId, notion), covered(CANVA, vaultId, canva)],
      missing: [],
      warnings: [],
    });
  });

  test('are covered by the first vault in order that can, and by the very address only', async () => {
    const agent = await agentOf(plain);
    await agent.put({ mcpServers: [LINEAR] });
    const [a, b] = [await agent.vault(), await agent.vault()];
    const [inA, inB] = [await agent.credential(a, LINEAR.url), await agent.credential(b, LINEAR.url)];
    expect(await agent.found({ vaultIds: [a, b] })).toMatchObject({ services: [covered(LINEAR, a, inA)] });
    expect(await agent.found({ vaultIds: [b, a] })).toMatchObject({ services: [covered(LINEAR, b, inB)] });
    await agent.archive(b, inB);
    expect(await agent.found({ vaultIds: [b, a] })).toMatchObject({ ok: true, services: [covered(LINEAR, a, inA)], warnings: [] });
    await agent.archive(a, inA);
    for (const other of ['https://mcp.linear.app/', 'https://mcp.linear.app/mcp/sub', 'http://mcp.linear.app/mcp', 'https://*.linear.app/mcp', 'https://mcp.linear.app/mcp?a=1']) await agent.credential(a, other);
    expect(await agent.found({ vaultIds: [a] })).toMatchObject({ ok: false, services: [lacking(LINEAR, 'archived')] });
  });

  test('that no credential can be kept for are missing', async () => {
    const agent = await agentOf(plain);
    const local = { name: 'local', url: 'http://169.254.169.254/mcp' };
    await agent.put({ mcpServers: [local] });
    expect(await agent.found({ vaultIds: [await agent.vault()] })).toMatchObject({ ok: false, services: [lacking(local)], missing: ['local'] });
  });

  test('are those of the active version; an agent without any lacks none', async () => {
    const agent = await agentOf(plain);
    await agent.put({ mcpServers: [] });
    expect(await agent.found()).toEqual({ ok: true, mode: 'warn', source: 'none', vaultIds: [], services: [], missing: [], warnings: [] });
    await plain('POST', `${agent.path}/rollback`, { version: 1 });
    expect(await agent.found()).toMatchObject(ALL_MISSING);
  });

  test('are found for a definition of any characters', async () => {
    const agent = await agentOf(plain);
    await agent.put({ systemPrompt: 'nul \u0000, half \ud800', mcpServers: [{ name: 'half \ud800', url: 'https://h.example/' }] });
    expect(await agent.found()).toMatchObject({ ok: false, services: [{ url: 'https://h.example/', status: 'missing' }] });
  });
});

describe('layers', () => {
  test('session: the vaults of the request, each once, in its order', async () => {
    const agent = await agentOf(choosing);
    const [a, b, c] = [await agent.vault({ external_user_id: 'u' }), await agent.vault(), await agent.vault()];
    await agent.put({ vaultIds: [c] });
    await agent.setDefault(c);
    expect(await agent.found({ vaultIds: [b, a, b.toUpperCase(), a], externalUserId: 'u' })).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'session', vaultIds: [b, a], warnings: [] });
  });

  test('session: an empty list ends the search with none', async () => {
    const agent = await agentOf(choosing);
    const vaultId = await agent.vault({ external_user_id: 'u' });
    await agent.put({ vaultIds: [vaultId] });
    await agent.setDefault(vaultId);
    expect(await agent.found({ vaultIds: [], externalUserId: 'u' })).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'session', vaultIds: [], warnings: [] });
  });

  test('session: a vault that is unknown, foreign or archived is not found', async () => {
    const [agent, theirs] = await Promise.all([agentOf(plain), agentOf(stranger)]);
    const [good, archived, foreign] = [await agent.vault(), await agent.vault(), await theirs.vault()];
    await agent.archive(archived);
    for (const bad of [randomUUID(), archived, foreign]) for (const vaultIds of [[bad], [good, bad]]) expectFailure(await agent.check({ vaultIds }), 'not_found', 404, 'Vault not found');
    expect(await agent.found({ vaultIds: [good] })).toMatchObject({ source: 'session', vaultIds: [good] });
  });

  test('external_user: active vaults bound to the user, oldest first', async () => {
    const [agent, theirs] = await Promise.all([agentOf(choosing), agentOf(stranger)]);
    const user = { external_user_id: 'user-1' };
    await theirs.vault(user);
    const [first, archived, second, other] = [await agent.vault(user), await agent.vault(user), await agent.vault({ ...user, more: 'x' }), await agent.vault({ external_user_id: 'user-2' })];
    await agent.archive(archived);
    await agent.put({ vaultIds: [other] });
    await agent.setDefault(other);
    // A later change does not make a vault younger.
    await choosing('PATCH', `/v1/mcp/vaults/${first}`, { description: 'touched' });
    for (const given of [{ externalUserId: 'user-1' }, { externalUserId: ' user-1 ', vaultIds: null }]) expect(await agent.found(given)).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'external_user', vaultIds: [first, second], warnings: [] });
    expect(await agent.found({ externalUserId: 'user-2' })).toMatchObject({ source: 'external_user', vaultIds: [other] });
    for (const externalUserId of ['user-3', 'USER-1', '', '  ', null]) expect(await agent.found({ externalUserId })).toMatchObject({ source: 'agent_config', vaultIds: [other] });
    await choosing('PATCH', `/v1/mcp/vaults/${other}`, { metadata: { external_user_id: 'user-3' } });
    expect(await agent.found({ externalUserId: 'user-3' })).toMatchObject({ source: 'external_user', vaultIds: [other] });
    expect(await agent.found({ externalUserId: 'user-2' })).toMatchObject({ source: 'agent_config' });
  });

  test('agent_config: what is usable of the list of the agent, with a warning for each that is not', async () => {
    const [agent, theirs] = await Promise.all([agentOf(choosing), agentOf(stranger)]);
    const [a, b, archived, standard, foreign] = [await agent.vault(), await agent.vault(), await agent.vault(), await agent.vault(), await theirs.vault()];
    const unknown = randomUUID();
    await agent.archive(archived);
    await agent.setDefault(standard);
    await agent.put({ vaultIds: [b.toUpperCase(), unknown, archived, a, b, foreign] });
    const skipped = [unknown, archived, foreign].map(id => expect.stringContaining(id));
    expect(await agent.found()).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'agent_config', vaultIds: [b, a], warnings: skipped });
    await agent.put({ vaultIds: [unknown, archived, foreign] });
    expect(await agent.found()).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'team_default', vaultIds: [standard], warnings: skipped });
  });

  test('team_default, and none without one', async () => {
    const agent = await agentOf(plain);
    const [vaultId] = [await agent.vault(), await agent.vault()];
    expect(await agent.found()).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'none', vaultIds: [], warnings: [] });
    await agent.setDefault(vaultId);
    expect(await agent.found()).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'team_default', vaultIds: [vaultId], warnings: [] });
    await agent.archive(vaultId);
    expect(await agent.found()).toEqual({ ...ALL_MISSING, mode: 'warn', source: 'none', vaultIds: [], warnings: [] });
  });

  test('a look changes nothing', async () => {
    const agent = await agentOf(plain);
    const vaultId = await agent.vault();
    await agent.credential(vaultId, LINEAR.url);
    const state = async (): Promise<unknown> => [(await plain('GET', `/v1/mcp/vaults/${vaultId}`)).body, (await plain('GET', agent.path)).body, (await plain('GET', '/v1/sandboxes')).body];
    const before = await state();
    await agent.found({ vaultIds: [vaultId] });
    expect(await state()).toEqual(before);
  });
});

describe('refusals', () => {
  test.each([
    ['no uuid', { vaultIds: ['x'] }, 'vaultIds[0] must be a version 4 uuid'],
    ['a uuid of another version', { vaultIds: ['01956f0e-2222-7aaa-8bbb-0c0c0c0c0c0c'] }, 'vaultIds[0] must be a version 4 uuid'],
    ['null for an id', { vaultIds: [null] }, 'vaultIds[0] must be a version 4 uuid'],
    ['no list', { vaultIds: 'x' }, 'vaultIds must be an array'],
    ['51 ids', { vaultIds: Array.from({ length: 51 }, () => randomUUID()) }, 'vaultIds must have at most 50 items'],
    ['a number for a user', { externalUserId: 7 }, 'externalUserId must be a string'],
    ['a long user', { externalUserId: 'x'.repeat(256) }, 'externalUserId must have at most 255 characters'],
    ['a user with NUL', { externalUserId: 'a\u0000' }, 'externalUserId must not contain NUL'],
    ['both wrong', { vaultIds: {}, externalUserId: [] }, 'vaultIds must be an array; externalUserId must be a string'],
  ])('%s is told before an agent that is not there', async (_name, body, message) => {
    for (const slug of ['nobody', 'NOT%20A%20SLUG']) expectFailure(await plain('POST', `/v1/agents/${slug}/coverage`, body), 'validation_error', 400, message);
  });

  test('an agent that is unknown, foreign or cannot be is told before a vault that is not there', async () => {
    const theirs = await agentOf(stranger);
    for (const path of [theirs.path, ...['nobody', 'UPPER', '-x', 'a%00b', 'a'.repeat(101)].map(slug => `/v1/agents/${slug}`)]) expectFailure(await plain('POST', `${path}/coverage`, { vaultIds: [randomUUID()] }), 'not_found', 404, 'Agent not found');
  });

  test('a key needs both scopes, and that is told first', async () => {
    const scoped = async (scopes: string): Promise<Answer> => (await makeCall('--scopes', scopes))('POST', '/v1/agents/nobody/coverage', { vaultIds: 7 });
    const [noVaults, noAgents, neither, both] = await Promise.all(['agents:read', 'vaults:read', 'agents:write,vaults:write', 'agents:read,vaults:read'].map(scoped));
    expectFailure(noVaults as Answer, 'forbidden', 403, 'Missing scope: vaults:read');
    expectFailure(noAgents as Answer, 'forbidden', 403, 'Missing scope: agents:read');
    expectFailure(neither as Answer, 'forbidden', 403, 'Missing scope: agents:read, vaults:read');
    expectFailure(both as Answer, 'validation_error', 400, 'vaultIds must be an array');
  });
});

/** These replace processes, so they come last. */
describe('modes', () => {
  test.each(['strict', 'off', 'warn'])('%s is told, and a look is never refused for what is missing', async mode => {
    await processes.vault.stop();
    processes.vault = await system.start('vault', { VAULT_COVERAGE_MODE: mode });
    const agent = await agentOf(plain);
    const { status, body } = await agent.check();
    expect(status).toBe(200);
    // `off`: not checked, so nothing is known to be missing.
    expect(body).toEqual({ ...(mode === 'off' ? { ok: true, services: [], missing: [] } : ALL_MISSING), mode, source: 'none', vaultIds: [], warnings: [] });
    expectFailure(await agent.check({ vaultIds: [randomUUID()] }), 'not_found', 404, 'Vault not found');
  });

  test('any other does not start', async () => {
    await expect(system.start('vault', { VAULT_COVERAGE_MODE: 'lax' })).rejects.toThrow('VAULT_COVERAGE_MODE');
  });

  test('without a vault service a look fails for now, and agents are there all the same', async () => {
    const agent = await agentOf(plain);
    await processes.vault.stop();
    const { headers, ...answer } = await agent.check();
    const { retryAfter } = (answer.body as { error: { retryAfter: number } }).error;
    expectFailure({ headers, ...answer }, 'internal_error', 503, 'Service temporarily unavailable', { retryAfter });
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(headers.get('retry-after')).toBe(String(retryAfter));
    expectFailure(await plain('POST', '/v1/agents/nobody/coverage', {}), 'not_found', 404, 'Agent not found');
    expect((await plain('GET', agent.path)).status).toBe(200);
    processes.vault = await system.start('vault');
    expect((await agent.check()).status).toBe(200);
  });

  test('without a sandbox service a vault is not shown in full for now, and is listed and changed all the same', async () => {
    const vaultId = await (await agentOf(plain)).vault();
    const path = `/v1/mcp/vaults/${vaultId}`;
    await processes.sandbox.stop();
    const { status, body, headers } = await plain('GET', path);
    expect({ status, body }).toEqual({ status: 503, body: { error: { code: 'sandbox_error', message: expect.any(String), status: 503, retryAfter: expect.any(Number) } } });
    expect(headers.get('retry-after')).toBe(String((body as { error: { retryAfter: number } }).error.retryAfter));
    expectFailure(await plain('GET', `/v1/mcp/vaults/${randomUUID()}`), 'not_found', 404, 'Vault not found');
    expect((await plain('GET', '/v1/mcp/vaults')).status).toBe(200);
    expect((await plain('PATCH', path, { name: 'changed' })).status).toBe(200);
    processes.sandbox = await system.start('sandbox');
    expect((await plain('GET', path)).body).toMatchObject({ name: 'changed' });
  });
});
