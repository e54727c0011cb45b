import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type AppName, type AppProcess, createSystem, type System } from '@gatehouse/testing';
import { type Answer, type Api, apiOf, sendText } from './testing/api.js';

interface Credential {
  readonly id: string;
  readonly vaultId: string;
  readonly status: string;
  readonly updatedAt: string;
  readonly auth: unknown;
}
interface Vault {
  readonly id: string;
  readonly name: string;
  readonly isDefault: boolean;
  readonly status: string;
  readonly updatedAt: string;
  readonly credentials: readonly Credential[];
}

// Keys are made by a process of the command line, which takes its time on a busy machine.
jest.setTimeout(30_000);

let system: System;
let processes: Record<AppName, AppProcess>;
let gateway: AppProcess;
let mine: Api;
let stranger: Api;
beforeAll(async () => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' });
  processes = await system.startAll();
  ({ gateway } = processes);
  [mine, stranger] = await Promise.all([makeTeam(), makeTeam()]);
}, 60_000);
afterAll(async () => system.close(), 60_000);

const makeTeam = async (...options: string[]): Promise<Api> => apiOf(gateway, (await system.createKey(...options)).secret);

const VAULTS = '/v1/mcp/vaults';
const VAULT_KEYS = ['id', 'teamId', 'name', 'description', 'metadata', 'isDefault', 'status', 'createdAt', 'updatedAt', 'archivedAt', 'credentials'];
const CREDENTIAL_KEYS = ['id', 'vaultId', 'name', 'serverUrl', 'serverUrlNormalized', 'hostPattern', 'inject', 'authType', 'auth', 'metadata', 'status', 'lastError', 'lastResolvedAt', 'createdAt', 'updatedAt', 'archivedAt'];
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const SUGGESTIONS = [
  { name: 'Canva', url: 'https://mcp.canva.com/mcp' },
  { name: 'Figma', url: 'https://mcp.figma.com/mcp' },
  { name: 'Notion', url: 'https://mcp.notion.com/mcp' },
  { name: 'Atlassian Rovo', url: 'https://mcp.atlassian.com/v1/mcp' },
  { name: 'Slack', url: 'https://mcp.slack.com/mcp' },
  { name: 'HubSpot', url: 'https://mcp.hubspot.com/anthropic' },
  { name: 'Linear', url: 'https://mcp.linear.app/mcp' },
  { name: 'Monday.com', url: 'https://mcp.monday.com/mcp' },
  { name: 'Microsoft 365', url: 'https://microsoft365.mcp.claude.com/mcp' },
];
const SUCCESS = { success: true };
const BEARER = { type: 'bearer', token: 'planted-secret' };

const expectFailure = ({ status, body }: Answer, code: string, expectedStatus: number, message: unknown = expect.any(String), extras: object = {}): void => {
  expect(body).toEqual({ error: { code, message, status: expectedStatus, ...extras } });
  expect(status).toBe(expectedStatus);
};
const noVault = (answer: Answer): void => expectFailure(answer, 'not_found', 404, 'Vault not found');
const noCredential = (answer: Answer): void => expectFailure(answer, 'not_found', 404, 'Credential not found');
const expectSuccess = ({ status, body }: Answer): void => {
  expect(body).toEqual(SUCCESS);
  expect(status).toBe(200);
};

const makeVault = async (call: Api = mine, body: object = {}): Promise<Vault> => {
  const answer = await call('POST', VAULTS, { name: 'Vault', ...body });
  expect(answer.status).toBe(201);
  return (answer.body as { vault: Vault }).vault;
};
const getVault = async (id: string, call: Api = mine): Promise<Vault> => {
  const answer = await call('GET', `${VAULTS}/${id}`);
  expect(answer.status).toBe(200);
  return (answer.body as { vault: Vault }).vault;
};
const listVaults = async (call: Api, query = ''): Promise<readonly Vault[]> => {
  const answer = await call('GET', `${VAULTS}${query}`);
  expect(answer.status).toBe(200);
  return (answer.body as { vaults: Vault[] }).vaults;
};
const addCredential = async (vaultId: string, serverUrl: string, body: object = {}, call: Api = mine): Promise<Answer> => call('POST', `${VAULTS}/${vaultId}/credentials`, { serverUrl, auth: BEARER, ...body });
const makeCredential = async (vaultId: string, serverUrl = 'https://mcp.linear.app/mcp', body: object = {}, call: Api = mine): Promise<Credential> => {
  const answer = await addCredential(vaultId, serverUrl, body, call);
  expect(answer.status).toBe(201);
  return (answer.body as { credential: Credential }).credential;
};
const statuses = (answers: readonly Answer[]): Record<number, number> => {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};
const parallel = async (count: number, work: (index: number) => Promise<Answer>): Promise<Answer[]> => Promise.all(Array.from({ length: count }, async (_unused, index) => work(index)));

describe('a new vault', () => {
  test('is active, not the default, and empty', async () => {
    const { status, body, headers } = await mine('POST', VAULTS, { name: '  Team tools ', description: ' For all ', metadata: { external_user_id: 'user-1', z: '' }, isDefault: true, status: 'archived', id: randomUUID(), colour: 'red' });
    expect(status).toBe(201);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(body).toEqual({
      vault: {
        id: expect.stringMatching(UUID_V4),
        teamId: expect.any(String),
        name: 'Team tools',
        description: 'For all',
        metadata: { external_user_id: 'user-1', z: '' },
        isDefault: false,
        status: 'active',
        createdAt: expect.stringMatching(DATE_TIME),
        updatedAt: expect.stringMatching(DATE_TIME),
        archivedAt: null,
        credentials: [],
      },
    });
    expect(Object.keys((body as { vault: object }).vault)).toEqual(VAULT_KEYS);
  });

  test('has no description and no metadata unless given, and need not have a name of its own', async () => {
    const plain = { description: null, metadata: {} };
    for (const body of [{}, { description: null }, { description: '   ' }, { metadata: {} }]) expect(await makeVault(mine, body)).toMatchObject({ name: 'Vault', ...plain });
  });

  test('may be as large as the limits', async () => {
    const body = { name: 'n'.repeat(200), description: 'd'.repeat(500), metadata: Object.fromEntries(Array.from({ length: 16 }, (_unused, index) => [`${index}`.padEnd(64, 'k'), 'v'.repeat(512)])) };
    expect(await makeVault(mine, { ...body, name: ` ${body.name} `, description: ` ${body.description} ` })).toMatchObject(body);
  });

  test('keeps every character of its texts that a text can have', async () => {
    const texts = { name: '\u{1f511} "\'\\ \u202e%00', description: "'; DROP TABLE vault.vaults; --", metadata: { '$.{}': '\n\t\u0001' } };
    expect(await makeVault(mine, texts)).toMatchObject(texts);
  });

  test.each([
    [{}, 'invalid_request', 'name is required'],
    [{ name: null }, 'invalid_request', 'name is required'],
    [{ name: null, description: 7 }, 'invalid_request', 'name is required; description must be a string'],
    [{ name: '' }, 'validation_error', expect.stringMatching(/^name /)],
    [{ name: ' \t\n ' }, 'validation_error', expect.stringMatching(/^name /)],
    [{ name: 7 }, 'validation_error', 'name must be a string'],
    [{ name: 'a\u0000b' }, 'validation_error', expect.stringMatching(/^name /)],
    [{ name: 'a', description: {} }, 'validation_error', 'description must be a string'],
    [{ name: 'a', metadata: null }, 'validation_error', 'metadata must be an object'],
    [{ name: 'a', metadata: [] }, 'validation_error', 'metadata must be an object'],
    [{ name: 'a', metadata: { k: null } }, 'validation_error', expect.stringMatching(/^metadata/)],
    [{ name: 'a', metadata: { k: 1 } }, 'validation_error', expect.stringMatching(/^metadata/)],
    [{ name: 'a', metadata: { k: '\ud800' } }, 'validation_error', expect.stringMatching(/^metadata/)],
    [{ name: 'a', metadata: { '': 'v' } }, 'validation_error', expect.stringMatching(/^metadata/)],
    [{ name: ' ', description: 7, metadata: 7 }, 'validation_error', expect.stringMatching(/^name .*; description must be a string; metadata must be an object$/)],
    [[], 'invalid_request', 'Request body must be a JSON object'],
  ])('%j is refused', async (body, code, message) => {
    expectFailure(await stranger('POST', VAULTS, body), code, 400, message);
  });

  test('may not be larger than the limits', async () => {
    for (const [body, message] of [
      [{ name: 'x'.repeat(201) }, /^name /],
      [{ name: 'a', description: 'x'.repeat(501) }, /^description /],
      [{ name: 'a', metadata: { ['k'.repeat(65)]: 'v' } }, /^metadata/],
      [{ name: 'a', metadata: { k: 'v'.repeat(513) } }, /^metadata/],
      [{ name: 'a', metadata: Object.fromEntries(Array.from({ length: 17 }, (_unused, index) => [`k${index}`, ''])) }, /^metadata must have at most 16 pairs$/],
    ] as const) expectFailure(await stranger('POST', VAULTS, body), 'validation_error', 400, expect.stringMatching(message));
  });

  test('is not made by a refused request', async () => {
    expect(await listVaults(stranger)).toEqual([]);
  });
});

describe('a changed vault', () => {
  test('keeps what is not given', async () => {
    const { id, ...before } = await makeVault(mine, { description: 'd', metadata: { a: '1', b: '2' } });
    const path = `${VAULTS}/${id}`;
    const { status, body } = await mine('PATCH', path, {});
    expect({ status, body }).toEqual({ status: 200, body: { vault: { id, ...before } } });
    expect(Object.keys((body as { vault: object }).vault)).toEqual(VAULT_KEYS);

    const after = async (change: object): Promise<Vault> => ((await mine('PATCH', path, change)).body as { vault: Vault }).vault;
    const renamed = await after({ name: ' Renamed ', status: 'archived', isDefault: true, createdAt: 'never' });
    expect(renamed).toEqual({ id, ...before, name: 'Renamed', updatedAt: expect.stringMatching(DATE_TIME) });
    expect(renamed.updatedAt > before.updatedAt).toBe(true);
    expect(await after({ metadata: { c: '3' } })).toMatchObject({ name: 'Renamed', description: 'd', metadata: { c: '3' } });
    expect(await after({ description: null })).toMatchObject({ description: null, metadata: { c: '3' } });
    expect(await after({ description: ' again ' })).toMatchObject({ description: 'again' });
    expect(await after({ description: ' ' })).toMatchObject({ description: null });
    expect((await after({ metadata: {} })) as unknown).toHaveProperty('metadata', {});
    expect(await getVault(id)).toMatchObject({ name: 'Renamed', description: null });
  });

  test('answers with its credentials', async () => {
    const { id } = await makeVault();
    const credential = await makeCredential(id);
    expect((await mine('PATCH', `${VAULTS}/${id}`, { name: 'With' })).body).toMatchObject({ vault: { name: 'With', credentials: [credential] } });
  });

  test.each([
    [{ name: null }, 'name must be a string'],
    [{ name: ' ' }, expect.stringMatching(/^name /)],
    [{ name: 7 }, 'name must be a string'],
    [{ description: [] }, 'description must be a string'],
    [{ metadata: null }, 'metadata must be an object'],
    [{ metadata: { k: null } }, expect.stringMatching(/^metadata/)],
    [{ name: null, metadata: null }, 'name must be a string; metadata must be an object'],
  ])('%j is refused and changes nothing', async (change, message) => {
    const vault = await makeVault(mine, { description: 'd', metadata: { k: 'v' } });
    expectFailure(await mine('PATCH', `${VAULTS}/${vault.id}`, change), 'validation_error', 400, message);
    expect(await getVault(vault.id)).toEqual(vault);
  });
});

describe('vaults are listed', () => {
  test('the default first, then the latest change; archived ones too, unless filtered', async () => {
    const call = await makeTeam();
    expect((await call('GET', VAULTS)).body).toEqual({ vaults: [], suggestions: SUGGESTIONS });
    const [a, b, c, d] = [await makeVault(call, { name: 'a' }), await makeVault(call, { name: 'b' }), await makeVault(call, { name: 'c' }), await makeVault(call, { name: 'd' })];
    const names = async (query = ''): Promise<string[]> => (await listVaults(call, query)).map(({ name }) => name);
    expect(await names()).toEqual(['d', 'c', 'b', 'a']);
    await call('POST', `${VAULTS}/${a.id}/set-default`);
    await call('PATCH', `${VAULTS}/${b.id}`, { description: 'touched' });
    expect(await names()).toEqual(['a', 'b', 'd', 'c']);
    await call('DELETE', `${VAULTS}/${c.id}`);
    expect(await names()).toEqual(['a', 'c', 'b', 'd']);
    expect(await names('?status=active')).toEqual(['a', 'b', 'd']);
    expect(await names('?status=archived')).toEqual(['c']);
    expect(await names('?status=&colour=red&limit=1')).toEqual(['a', 'c', 'b', 'd']);

    const credential = await makeCredential(d.id, 'https://h.example/', {}, call);
    const { body } = await call('GET', VAULTS);
    expect(Object.keys(body as object)).toEqual(['vaults', 'suggestions']);
    const listed = (body as { vaults: Vault[] }).vaults.find(({ id }) => id === d.id);
    expect(Object.keys(listed ?? {})).toEqual(VAULT_KEYS);
    expect(listed?.credentials).toEqual([credential]);
  });

  test.each([
    ['?status=bad', 'status must be one of active, archived'],
    ['?status=Active', 'status must be one of active, archived'],
    ['?status=active&status=active', 'status must be given once'],
    ['?status[a]=active', expect.stringMatching(/^status /)],
  ])('%s is refused', async (query, message) => {
    expectFailure(await mine('GET', `${VAULTS}${query}`), 'validation_error', 400, message);
  });
});

describe('one vault', () => {
  test('shows its fields twice, every agent that declares servers, and what it covers', async () => {
    const call = await makeTeam();
    const linear = { name: 'linear', url: 'https://MCP.Linear.App:443/mcp/' };
    const notion = { name: 'notion', url: 'https://mcp.notion.com/mcp' };
    const local = { name: 'local', url: 'http://169.254.169.254/mcp' };
    const put = async (slug: string, name: string, mcpServers: object[]): Promise<{ id: string }> => (await call('PUT', `/v1/agents/${slug}`, { name, mcpServers })).body as { id: string };
    const second = await put('second', 'B', [notion]);
    const third = await put('third', 'B', [local, linear]);
    const first = await put('first', 'A', [linear, notion]);
    await put('silent', 'Silent', []);
    await stranger('PUT', '/v1/agents/theirs', { mcpServers: [linear] });

    const { id } = await makeVault(call);
    const covering = await makeCredential(id, 'https://mcp.linear.app/mcp', { name: 'Linear' }, call);
    await makeCredential(id, 'https://mcp.linear.app/other', {}, call);
    await makeCredential(id, 'https://*.example.com:8443/mcp', {}, call);
    const archived = await makeCredential(id, notion.url, {}, call);
    await call('DELETE', `${VAULTS}/${id}/credentials/${archived.id}`);

    const { status, body } = await call('GET', `${VAULTS}/${id}`);
    expect(status).toBe(200);
    const { vault, agents, coverage, suggestions, ...fields } = body as Record<string, unknown>;
    expect(Object.keys(body as object)).toEqual([...VAULT_KEYS, 'vault', 'agents', 'coverage', 'suggestions']);
    expect(vault).toEqual(fields);
    expect(vault).toHaveProperty('credentials.length', 4);
    expect(suggestions).toEqual(SUGGESTIONS);
    expect(coverage).toEqual({ active: ['*.example.com', 'mcp.linear.app'], missing: ['169.254.169.254', 'mcp.notion.com'] });
    const ready = { ...linear, status: 'ready', credentialId: covering.id, credentialName: 'Linear' };
    const lacking = (server: object): object => ({ ...server, status: 'missing_credential', credentialId: null, credentialName: null });
    expect(agents).toEqual([
      { id: first.id, name: 'A', slug: 'first', activeVersion: 1, servers: [ready, lacking(notion)] },
      { id: second.id, name: 'B', slug: 'second', activeVersion: 1, servers: [lacking(notion)] },
      { id: third.id, name: 'B', slug: 'third', activeVersion: 1, servers: [lacking(local), ready] },
    ]);
    expect(Object.keys((agents as object[])[0] ?? {})).toEqual(['id', 'name', 'slug', 'activeVersion', 'servers']);
    expect(Object.keys((agents as { servers: object[] }[])[0]?.servers[0] ?? {})).toEqual(['name', 'url', 'status', 'credentialId', 'credentialName']);

    await put('first', 'A', []);
    await call('POST', '/v1/agents/first/rollback', { version: 1 });
    await put('second', 'B', []);
    expect((await call('GET', `${VAULTS}/${id}`)).body).toMatchObject({ agents: [{ slug: 'first', activeVersion: 1 }, { slug: 'third' }] });
  });

  test('without agents covers nothing and misses nothing', async () => {
    const call = await makeTeam();
    const { id } = await makeVault(call);
    expect((await call('GET', `${VAULTS}/${id}`)).body).toMatchObject({ agents: [], coverage: { active: [], missing: [] } });
  });
});

describe('an archived vault', () => {
  test('is no longer the default, and its credentials have lost their secrets', async () => {
    const call = await makeTeam();
    const { id } = await makeVault(call, { description: 'd', metadata: { k: 'v' } });
    await call('POST', `${VAULTS}/${id}/set-default`);
    const first = await makeCredential(id, 'https://a.example/', { inject: { kind: 'basic', username: 'u' }, metadata: { k: 'v' } }, call);
    const second = await makeCredential(id, 'https://b.example/', { auth: { type: 'oauth', accessToken: 'planted-secret' } }, call);
    expectSuccess(await call('DELETE', `${VAULTS}/${id}`, { force: 'true' }));

    const vault = await getVault(id, call);
    expect(vault).toMatchObject({ name: 'Vault', description: 'd', metadata: { k: 'v' }, isDefault: false, status: 'archived', archivedAt: expect.stringMatching(DATE_TIME) });
    const archived = (credential: Credential, type: string): object => ({ ...credential, auth: { type, archived: true }, status: 'archived', updatedAt: expect.stringMatching(DATE_TIME), archivedAt: expect.stringMatching(DATE_TIME) });
    expect(vault.credentials).toHaveLength(2);
    expect(vault.credentials).toEqual(expect.arrayContaining([archived(first, 'bearer'), archived(second, 'oauth')]));
  });

  test('is there to be read and to be deleted, and for nothing else', async () => {
    const { id } = await makeVault();
    const credential = await makeCredential(id);
    const path = `${VAULTS}/${id}`;
    expectSuccess(await mine('DELETE', `${path}?force=false`));
    noVault(await mine('DELETE', path));
    noVault(await mine('DELETE', `${path}?force=false`));
    noVault(await mine('DELETE', `${path}?force=`));
    noVault(await mine('PATCH', path, {}));
    noVault(await mine('PATCH', path, { name: 'x' }));
    noVault(await mine('POST', `${path}/set-default`));
    noVault(await addCredential(id, 'https://new.example/'));
    noVault(await mine('PATCH', `${path}/credentials/${credential.id}`, {}));
    expect((await mine('DELETE', `${path}/credentials/${credential.id}`)).status).toBe(404);
    expect((await mine('GET', path)).status).toBe(200);
    expect(await listVaults(mine, '?status=archived')).toContainEqual(expect.objectContaining({ id }));
  });

  test('can be deleted for good, with its credentials; an active one, even an empty one, cannot', async () => {
    const { id } = await makeVault();
    const path = `${VAULTS}/${id}`;
    const early = 'Vault must be archived before it is deleted';
    expectFailure(await mine('DELETE', `${path}?force=true`), 'conflict', 409, early);
    await makeCredential(id);
    expectFailure(await mine('DELETE', `${path}?force=true`), 'conflict', 409, early);
    expect(await getVault(id)).toMatchObject({ status: 'active', credentials: [{ status: 'active' }] });
    expectSuccess(await mine('DELETE', path));
    expectSuccess(await mine('DELETE', `${path}?force=true`));
    noVault(await mine('GET', path));
    noVault(await mine('DELETE', `${path}?force=true`));
    expect((await listVaults(mine)).filter(vault => vault.id === id)).toEqual([]);
  });

  test.each([
    ['?force=maybe', 'force must be one of true, false'],
    ['?force=TRUE', 'force must be one of true, false'],
    ['?force=1', 'force must be one of true, false'],
    ['?force=true&force=true', 'force must be given once'],
    ['?force=true&force=false', 'force must be given once'],
  ])('is not made by %s', async (query, message) => {
    const { id } = await makeVault();
    const credential = await makeCredential(id);
    for (const path of [`${VAULTS}/${id}`, `${VAULTS}/${randomUUID()}`, `${VAULTS}/${id}/credentials/${credential.id}`, `${VAULTS}/x/credentials/y`]) expectFailure(await mine('DELETE', `${path}${query}`), 'validation_error', 400, message);
    expect(await getVault(id)).toMatchObject({ status: 'active', credentials: [{ status: 'active' }] });
  });
});

describe('the default vault', () => {
  test('is one of a team, until it is archived or another is chosen', async () => {
    const [call, other] = await Promise.all([makeTeam(), makeTeam()]);
    const [a, b, theirs] = [await makeVault(call), await makeVault(call), await makeVault(other)];
    const defaults = async (): Promise<string[]> => (await listVaults(call)).filter(({ isDefault }) => isDefault).map(({ id }) => id);
    const choose = async (id: string): Promise<Answer> => call('POST', `${VAULTS}/${id}/set-default`, { anything: 1 });
    expectSuccess(await other('POST', `${VAULTS}/${theirs.id}/set-default`));
    expect(await defaults()).toEqual([]);
    expectSuccess(await choose(a.id));
    const { updatedAt } = await getVault(a.id, call);
    expectSuccess(await choose(a.id));
    expect((await getVault(a.id, call)).updatedAt).toBe(updatedAt);
    expect(await defaults()).toEqual([a.id]);
    expectSuccess(await choose(b.id));
    expect(await defaults()).toEqual([b.id]);
    noVault(await choose(randomUUID()));
    noVault(await choose(theirs.id));
    expect(await defaults()).toEqual([b.id]);
    expectSuccess(await call('DELETE', `${VAULTS}/${b.id}`));
    expect(await defaults()).toEqual([]);
    noVault(await choose(b.id));
    expect((await listVaults(other)).map(({ isDefault }) => isDefault)).toEqual([true]);
  });
});

describe('a new credential', () => {
  test('shows all but its secret', async () => {
    const { id: vaultId } = await makeVault();
    const { status, body } = await addCredential(vaultId, '  https://MCP.Linear.App/mcp/ ', { name: ' Linear ', id: 'x', vaultId: 'x', status: 'archived', lastError: 'x', hostPattern: 'x', colour: 'red' });
    expect(status).toBe(201);
    expect(body).toEqual({
      credential: {
        id: expect.stringMatching(UUID_V4),
        vaultId,
        name: 'Linear',
        serverUrl: 'https://MCP.Linear.App/mcp/',
        serverUrlNormalized: 'https://mcp.linear.app/mcp',
        hostPattern: 'mcp.linear.app',
        inject: { kind: 'header', header: 'Authorization', prefix: 'Bearer ' },
        authType: 'bearer',
        auth: { type: 'bearer', hasToken: true },
        metadata: {},
        status: 'active',
        lastError: null,
        lastResolvedAt: null,
        createdAt: expect.stringMatching(DATE_TIME),
        updatedAt: expect.stringMatching(DATE_TIME),
        archivedAt: null,
      },
    });
    expect(Object.keys((body as { credential: object }).credential)).toEqual(CREDENTIAL_KEYS);
    expect((await getVault(vaultId)).credentials).toEqual([(body as { credential: object }).credential]);
  });

  test('has no name, the default rule and no metadata unless given', async () => {
    const { id } = await makeVault();
    const plain = { name: null, inject: { kind: 'header', header: 'Authorization', prefix: 'Bearer ' }, metadata: {} };
    for (const [index, body] of [{}, { name: null, inject: null }, { name: '  ' }].entries()) expect(await makeCredential(id, `https://h${index}.example/`, body)).toMatchObject(plain);
  });

  test.each([
    [{ kind: 'header', header: ' X-Api-Key ' }, { kind: 'header', header: 'X-Api-Key' }],
    [{ kind: 'header', header: 'X-Api-Key', prefix: ' token ', colour: 'red' }, { kind: 'header', header: 'X-Api-Key', prefix: ' token ' }],
    [{ kind: 'query', param: ' api_key ' }, { kind: 'query', param: 'api_key' }],
    [{ kind: 'basic' }, { kind: 'basic' }],
    [{ kind: 'basic', username: 'u' }, { kind: 'basic', username: 'u' }],
  ])('keeps the rule %j', async (inject, kept) => {
    const { id } = await makeVault();
    expect(((await makeCredential(id, undefined, { inject })) as unknown as { inject: object }).inject).toEqual(kept);
  });

  const NO_OAUTH = { type: 'oauth', hasAccessToken: false, hasRefreshToken: false, hasClientId: false, hasClientSecret: false, hasTokenEndpoint: false, tokenEndpointAuth: null, tokenType: null, expiresAt: null, scope: null, resource: null };
  const REFRESH = { refreshToken: 'planted-secret', tokenEndpoint: 'https://t.example/planted-secret', clientId: 'planted-secret' };
  const HAS_REFRESH = { hasRefreshToken: true, hasClientId: true, hasTokenEndpoint: true };
  test.each([
    [{ type: 'bearer', token: ' planted-secret ' }, { type: 'bearer', hasToken: true }],
    [{ type: 'bearer', token: 'planted-secret', accessToken: 'x' }, { type: 'bearer', hasToken: true }],
    [{ type: 'oauth', accessToken: 'planted-secret' }, { ...NO_OAUTH, hasAccessToken: true }],
    [{ type: 'oauth', clientId: 'planted-secret', accessToken: null, refreshToken: '', tokenType: ' ' }, { ...NO_OAUTH, hasClientId: true }],
    [{ type: 'oauth', clientSecret: 'planted-secret' }, { ...NO_OAUTH, hasClientSecret: true }],
    [{ type: 'oauth', ...REFRESH, tokenEndpointAuth: 'none' }, { ...NO_OAUTH, ...HAS_REFRESH, tokenEndpointAuth: 'none' }],
    [
      { type: 'oauth', ...REFRESH, tokenEndpointAuth: 'client_secret_basic', clientSecret: 'planted-secret', tokenType: ' Bearer ', expiresAt: '2026-03-01T11:30:00+02:00', scope: ' a b ', resource: 'https://r.example/' },
      { ...NO_OAUTH, ...HAS_REFRESH, hasClientSecret: true, tokenEndpointAuth: 'client_secret_basic', tokenType: 'Bearer', expiresAt: '2026-03-01T09:30:00.000Z', scope: 'a b', resource: 'https://r.example/' },
    ],
  ])('shows %j as what there is of it', async (auth, shown) => {
    const { id } = await makeVault();
    const credential = await makeCredential(id, undefined, { auth });
    expect(credential).toMatchObject({ authType: auth.type });
    expect(credential.auth).toEqual(shown);
    expect(Object.keys(credential.auth as object)).toEqual(Object.keys(shown));
    const seen = JSON.stringify([credential, await mine('GET', `${VAULTS}/${id}`), await mine('GET', VAULTS), await mine('PATCH', `${VAULTS}/${id}/credentials/${credential.id}`, { name: 'x' })]);
    expect(seen).not.toContain('planted-secret');
  });

  const URL_REFUSED = expect.stringMatching(/^serverUrl (?!.*(planted|169\.254|github))/);
  test.each([
    [{}, 'invalid_request', 'serverUrl is required; auth is required'],
    [{ serverUrl: ' ', auth: BEARER }, 'invalid_request', 'serverUrl is required'],
    [{ serverUrl: null, auth: BEARER }, 'invalid_request', 'serverUrl is required'],
    [{ serverUrl: 'https://h/', auth: null }, 'invalid_request', 'auth is required'],
    [{ serverUrl: 'https://h/', auth: {} }, 'invalid_request', 'auth.type is required'],
    [{ serverUrl: 'https://h/', auth: { type: 'bearer' } }, 'invalid_request', 'auth.token is required'],
    [{ serverUrl: 'https://h/', auth: { type: 'bearer', token: ' ' } }, 'validation_error', expect.stringMatching(/^auth\.token /)],
    [{ serverUrl: 'https://h/', auth: { type: 'basic' } }, 'validation_error', expect.stringMatching(/^auth\.type /)],
    [{ serverUrl: 'https://h/', auth: 'bearer' }, 'validation_error', 'auth must be an object'],
    [{ serverUrl: 'https://h/', auth: { type: 'oauth' } }, 'validation_error', expect.stringMatching(/^auth\./)],
    [{ serverUrl: 'https://h/', auth: { type: 'oauth', refreshToken: 'r' } }, 'validation_error', expect.stringMatching(/^auth\./)],
    [{ serverUrl: 'https://h/', auth: { type: 'oauth', ...REFRESH, tokenEndpointAuth: 'client_secret_post' } }, 'validation_error', expect.stringMatching(/^auth\./)],
    [{ serverUrl: 'https://h/', auth: { type: 'oauth', ...REFRESH, tokenEndpoint: 'ftp://t/' } }, 'validation_error', expect.stringMatching(/^auth\.tokenEndpoint /)],
    [{ serverUrl: 'https://h/', auth: { type: 'oauth', accessToken: 'a', expiresAt: 'soon' } }, 'validation_error', expect.stringMatching(/^auth\.expiresAt /)],
    [{ serverUrl: 'https://h/', auth: BEARER, metadata: null }, 'validation_error', 'metadata must be an object'],
    [{ serverUrl: 'https://h/', auth: BEARER, metadata: { k: null } }, 'validation_error', expect.stringMatching(/^metadata/)],
    [{ serverUrl: 'https://h/', auth: BEARER, inject: {} }, 'invalid_request', 'inject.kind is required'],
    [{ serverUrl: 'https://h/', auth: BEARER, inject: { kind: 'header' } }, 'invalid_request', 'inject.header is required'],
    [{ serverUrl: 'https://h/', auth: BEARER, inject: { kind: 'query' } }, 'invalid_request', 'inject.param is required'],
    [{ serverUrl: 'https://h/', auth: BEARER, inject: { kind: 'header', header: ' ' } }, 'validation_error', expect.stringMatching(/^inject\.header /)],
    [{ serverUrl: 'https://h/', auth: BEARER, inject: { kind: 'header', header: 'a b' } }, 'validation_error', expect.stringMatching(/^inject\.header /)],
    [{ serverUrl: 'https://h/', auth: BEARER, inject: { kind: 'query', param: '\ud800' } }, 'validation_error', expect.stringMatching(/^inject\.param /)],
    [{ serverUrl: 'https://h/', auth: BEARER, inject: { kind: 'cookie' } }, 'validation_error', expect.stringMatching(/^inject\.kind /)],
    [{ name: 7, serverUrl: 'x', auth: { type: 'bearer' }, inject: { kind: 'query' }, metadata: 7 }, 'invalid_request', expect.stringMatching(/^name .*; serverUrl .*; auth\.token is required; inject\.param is required; metadata must be an object$/)],
    ...['https://planted:secret@h/mcp', 'ftp://planted/x', 'mailto:a@planted', 'javascript:planted', 'planted', '//planted/x', 'https://', 'https://a*.planted.com/', 'https://a.*.planted.com/', 'https://*.com/', 'https://*.co.uk/', 'https://*.github.io/', 'http://169.254.169.254/', 'http://2852039166/', 'http://[fe80::1]/', 'http://[::ffff:169.254.1.1]/'].map(
      serverUrl => [{ serverUrl, auth: BEARER }, 'validation_error', URL_REFUSED] as const,
    ),
  ])('%j is refused', async (body, code, message) => {
    const { id } = await makeVault();
    expectFailure(await mine('POST', `${VAULTS}/${id}/credentials`, body), code, 400, message);
    expect((await getVault(id)).credentials).toEqual([]);
  });

  test('may be as large as the limits, and not larger', async () => {
    const { id } = await makeVault();
    const longest = { name: 'n'.repeat(200), serverUrl: `https://h/${'x'.repeat(2_038)}`, auth: { type: 'bearer', token: 't'.repeat(16_384) } };
    const add = async (body: object): Promise<Answer> => mine('POST', `${VAULTS}/${id}/credentials`, body);
    expectFailure(await add({ ...longest, name: `${longest.name}n` }), 'validation_error', 400, expect.stringMatching(/^name /));
    expectFailure(await add({ ...longest, serverUrl: `${longest.serverUrl}x` }), 'validation_error', 400, expect.stringMatching(/^serverUrl /));
    expectFailure(await add({ ...longest, auth: { type: 'bearer', token: 't'.repeat(16_385) } }), 'validation_error', 400, expect.stringMatching(/^auth\.token /));
    expect(await add({ ...longest, serverUrl: ` ${longest.serverUrl} ` })).toMatchObject({ status: 201, body: { credential: { name: longest.name, serverUrl: longest.serverUrl } } });
    // A normalised address may be longer than what was given.
    expect((await add({ ...longest, serverUrl: `https://h/${'ü'.repeat(2_038)}` })).status).toBe(201);
  });

  test('is for an address that no other active one of its vault is for', async () => {
    const [{ id }, other] = [await makeVault(), await makeVault()];
    const first = await makeCredential(id, 'https://mcp.linear.app/mcp?b=2&a=1');
    const duplicate = 'An active credential for this serverUrl already exists in the vault';
    for (const spelling of ['https://mcp.linear.app/mcp?b=2&a=1', ' HTTPS://MCP.linear.app:443/x/../mcp//?a=1&b=2#frag ']) expectFailure(await addCredential(id, spelling), 'conflict', 409, duplicate);
    for (const different of ['http://mcp.linear.app/mcp?b=2&a=1', 'https://mcp.linear.app:8443/mcp?b=2&a=1', 'https://mcp.linear.app/MCP?b=2&a=1', 'https://mcp.linear.app/mcp', 'https://mcp.linear.app./mcp?b=2&a=1', 'https://*.linear.app/mcp?b=2&a=1'])
      await makeCredential(id, different);
    await makeCredential(other.id, 'https://mcp.linear.app/mcp?b=2&a=1');

    await mine('DELETE', `${VAULTS}/${id}/credentials/${first.id}`);
    const again = await makeCredential(id, 'https://mcp.linear.app/mcp?b=2&a=1');
    expect(again.id).not.toBe(first.id);
    expectFailure(await addCredential(id, 'https://mcp.linear.app/mcp?b=2&a=1'), 'conflict', 409, duplicate);
  });

  test('is one of at most 20, archived ones aside; a duplicate is told before a full vault', async () => {
    const { id } = await makeVault();
    const made = [];
    for (let index = 0; index < 20; index++) made.push(await makeCredential(id, `https://h${index}.example/`));
    const full = async (): Promise<void> => expectFailure(await addCredential(id, 'https://new.example/'), 'credential_cap_exceeded', 422, 'Vault already has 20 active credentials', { limit: 20 });
    await full();
    expectFailure(await addCredential(id, 'https://h7.example/'), 'conflict', 409, 'An active credential for this serverUrl already exists in the vault');
    expectFailure(await addCredential(id, 'ftp://h7.example/'), 'validation_error', 400);
    await mine('DELETE', `${VAULTS}/${id}/credentials/${made[7]?.id}`);
    await makeCredential(id, 'https://new.example/');
    expectFailure(await addCredential(id, 'https://h7.example/'), 'credential_cap_exceeded', 422, 'Vault already has 20 active credentials', { limit: 20 });
    expect((await getVault(id)).credentials).toHaveLength(21);
  });
});

describe('a changed credential', () => {
  const change = async ({ id, vaultId }: Pick<Credential, 'id' | 'vaultId'>, body: object): Promise<Answer> => mine('PATCH', `${VAULTS}/${vaultId}/credentials/${id}`, body);

  test('keeps what is not given', async () => {
    const { id } = await makeVault();
    const before = await makeCredential(id, 'https://mcp.linear.app/mcp', { name: 'Linear', metadata: { a: '1' }, inject: { kind: 'basic', username: 'u' } });
    const unchanged = await change(before, {});
    expect({ status: unchanged.status, body: unchanged.body }).toEqual({ status: 200, body: { credential: before } });
    expect(Object.keys((unchanged.body as { credential: object }).credential)).toEqual(CREDENTIAL_KEYS);

    const after = async (body: object): Promise<unknown> => ((await change(before, body)).body as { credential: unknown }).credential;
    const updatedAt = expect.stringMatching(DATE_TIME);
    expect(await after({ name: ' L ', status: 'archived', vaultId: randomUUID(), lastError: 'x' })).toEqual({ ...before, name: 'L', updatedAt });
    expect(await after({ name: null })).toMatchObject({ name: null, metadata: { a: '1' } });
    expect(await after({ name: 'L' })).toMatchObject({ name: 'L' });
    expect(await after({ name: ' ' })).toMatchObject({ name: null });
    expect(await after({ metadata: { b: '2' } })).toHaveProperty('metadata', { b: '2' });
    expect(await after({ inject: { kind: 'query', param: 'k' } })).toHaveProperty('inject', { kind: 'query', param: 'k' });
    expect(await after({ inject: null })).toHaveProperty('inject', { kind: 'header', header: 'Authorization', prefix: 'Bearer ' });
    expect(await after({ auth: { type: 'oauth', accessToken: 'planted-secret' } })).toMatchObject({ authType: 'oauth', auth: { type: 'oauth', hasAccessToken: true, hasRefreshToken: false } });
    expect(await after({ auth: { type: 'oauth', clientId: 'planted-secret' } })).toMatchObject({ auth: { hasAccessToken: false, hasClientId: true } });
    expect(await after({ serverUrl: ' https://MCP.linear.app/x/../mcp/ ' })).toMatchObject({ serverUrl: 'https://MCP.linear.app/x/../mcp/', serverUrlNormalized: 'https://mcp.linear.app/mcp', hostPattern: 'mcp.linear.app' });
    const [kept] = (await getVault(id)).credentials;
    expect(kept).toEqual({ ...before, name: null, metadata: { b: '2' }, inject: { kind: 'header', header: 'Authorization', prefix: 'Bearer ' }, authType: 'oauth', auth: expect.objectContaining({ type: 'oauth' }), serverUrl: 'https://MCP.linear.app/x/../mcp/', updatedAt });
    expect((kept?.updatedAt ?? '') > before.updatedAt).toBe(true);
  });

  test.each([
    [{ metadata: null }, 'validation_error', 'metadata must be an object'],
    [{ auth: null }, 'validation_error', 'auth must be an object'],
    [{ auth: {} }, 'invalid_request', 'auth.type is required'],
    [{ auth: { type: 'bearer' } }, 'invalid_request', 'auth.token is required'],
    [{ serverUrl: null }, 'validation_error', expect.stringMatching(/^serverUrl /)],
    [{ serverUrl: 'ftp://planted/' }, 'validation_error', expect.stringMatching(/^serverUrl (?!.*planted)/)],
    [{ inject: { kind: 'cookie' } }, 'validation_error', expect.stringMatching(/^inject\.kind /)],
    [{ name: 7, auth: null, metadata: null }, 'validation_error', 'name must be a string; auth must be an object; metadata must be an object'],
  ])('%j is refused and changes nothing', async (body, code, message) => {
    const { id } = await makeVault();
    const credential = await makeCredential(id);
    expectFailure(await change(credential, body), code, 400, message);
    expectFailure(await change({ id: randomUUID(), vaultId: id }, body), code, 400, message);
    expect((await getVault(id)).credentials).toEqual([credential]);
  });

  test('stays at its address: one that is taken is a conflict, any other is refused after that', async () => {
    const { id } = await makeVault();
    const [credential, other, gone] = [await makeCredential(id, 'https://a.example/'), await makeCredential(id, 'https://b.example/x'), await makeCredential(id, 'https://c.example/')];
    await mine('DELETE', `${VAULTS}/${id}/credentials/${gone.id}`);
    expectFailure(await change(credential, { serverUrl: 'https://B.example/x/' }), 'conflict', 409, 'An active credential for this serverUrl already exists in the vault');
    for (const serverUrl of ['https://c.example/', 'https://a.example/x', 'http://a.example/', 'https://a.example:8443/']) {
      const { status, body } = await change(credential, { serverUrl, name: 'not kept' });
      expect({ status, body }).toEqual({ status: 400, body: { error: { code: 'validation_error', message: expect.stringMatching(/^serverUrl (?!.*example)/), status: 400 } } });
    }
    noCredential(await change(gone, { serverUrl: 'https://b.example/x' }));
    noCredential(await change({ id: randomUUID(), vaultId: id }, { serverUrl: 'https://b.example/x' }));
    expect((await getVault(id)).credentials).toEqual(expect.arrayContaining([credential, other]));
  });
});

describe('an archived credential', () => {
  test('has lost its secret and nothing else, and is there to be deleted only', async () => {
    const { id } = await makeVault();
    const credential = await makeCredential(id, 'https://h.example/x', { name: 'n', auth: { type: 'oauth', accessToken: 'planted-secret', scope: 's' }, inject: { kind: 'query', param: 'k' }, metadata: { k: 'v' } });
    const path = `${VAULTS}/${id}/credentials/${credential.id}`;
    expectFailure(await mine('DELETE', `${path}?force=true`), 'conflict', 409, 'Credential must be archived before it is deleted');
    expectSuccess(await mine('DELETE', path, { force: 'true' }));
    expect((await getVault(id)).credentials).toEqual([{ ...credential, auth: { type: 'oauth', archived: true }, status: 'archived', updatedAt: expect.stringMatching(DATE_TIME), archivedAt: expect.stringMatching(DATE_TIME) }]);
    noCredential(await mine('DELETE', path));
    noCredential(await mine('DELETE', `${path}?force=false`));
    noCredential(await mine('PATCH', path, {}));
    noCredential(await mine('PATCH', path, { name: 'x' }));
    expectSuccess(await mine('DELETE', `${path}?force=true`));
    noCredential(await mine('DELETE', `${path}?force=true`));
    expect((await getVault(id)).credentials).toEqual([]);
  });

  test('is listed with the others, the latest change first', async () => {
    const { id } = await makeVault();
    const [a, b, c] = [await makeCredential(id, 'https://a.example/'), await makeCredential(id, 'https://b.example/'), await makeCredential(id, 'https://c.example/')];
    const order = async (): Promise<string[]> => (await getVault(id)).credentials.map(credential => credential.id);
    expect(await order()).toEqual([c.id, b.id, a.id]);
    await mine('PATCH', `${VAULTS}/${id}/credentials/${a.id}`, { name: 'touched' });
    await mine('DELETE', `${VAULTS}/${id}/credentials/${b.id}`);
    expect(await order()).toEqual([b.id, a.id, c.id]);
  });
});

describe('what is not there', () => {
  const VAULT_ENDPOINTS = [['GET', ''], ['PATCH', '', {}], ['DELETE', ''], ['DELETE', '?force=true'], ['POST', '/set-default']] as const;
  const CREDENTIAL_ENDPOINTS = [['PATCH', '', {}], ['DELETE', ''], ['DELETE', '?force=true']] as const;
  const NEW = { serverUrl: 'https://h.example/', auth: BEARER };

  test("another team's vault is answered as one that never was, to the byte", async () => {
    const { id } = await makeVault();
    const credential = await makeCredential(id);
    const before = await getVault(id);
    const same = async (method: string, path: string, body?: unknown): Promise<void> => {
      const [theirs, never] = [await stranger(method, path.replaceAll(':id', id).replaceAll(':cid', credential.id), body), await stranger(method, path.replaceAll(':id', randomUUID()).replaceAll(':cid', randomUUID()), body)];
      noVault(theirs);
      expect(JSON.stringify(theirs.body)).toBe(JSON.stringify(never.body));
    };
    for (const [method, rest, body] of VAULT_ENDPOINTS) await same(method, `${VAULTS}/:id${rest}`, body);
    await same('POST', `${VAULTS}/:id/credentials`, NEW);
    for (const [method, rest, body] of CREDENTIAL_ENDPOINTS) await same(method, `${VAULTS}/:id/credentials/:cid${rest}`, body);
    expect(await getVault(id)).toEqual(before);
    expect((await listVaults(stranger)).map(vault => vault.id)).not.toContain(id);
  });

  test("another team's credential, and one of another vault, are not there", async () => {
    const [{ id }, elsewhere] = [await makeVault(), await makeVault()];
    const credential = await makeCredential(elsewhere.id);
    const { id: theirVault } = await makeVault(stranger);
    for (const [method, rest, body] of CREDENTIAL_ENDPOINTS) {
      noCredential(await mine(method, `${VAULTS}/${id}/credentials/${credential.id}${rest}`, body));
      noCredential(await mine(method, `${VAULTS}/${id}/credentials/${randomUUID()}${rest}`, body));
      noCredential(await stranger(method, `${VAULTS}/${theirVault}/credentials/${credential.id}${rest}`, body));
    }
    expect((await getVault(elsewhere.id)).credentials).toEqual([credential]);
  });

  test.each(['x', 'null', '%00', '..%2f', '%7B3f1d2c4b-5a69-4788-9abc-def012345678%7D', '3f1d2c4b5a6947889abcdef012345678', '3f1d2c4b-5a69-4788-9abc-def01234567', "' OR true --", 'a'.repeat(100), '01956f0e-1111-7aaa-8bbb-0c0c0c0c0c0c', '00000000-0000-0000-0000-000000000000'])('%s names no vault and no credential', async bad => {
    const { id } = await makeVault();
    for (const [method, rest, body] of VAULT_ENDPOINTS) noVault(await mine(method, `${VAULTS}/${bad}${rest}`, body));
    noVault(await mine('POST', `${VAULTS}/${bad}/credentials`, NEW));
    for (const [method, rest, body] of CREDENTIAL_ENDPOINTS) {
      noVault(await mine(method, `${VAULTS}/${bad}/credentials/${randomUUID()}${rest}`, body));
      noCredential(await mine(method, `${VAULTS}/${id}/credentials/${bad}${rest}`, body));
    }
  });

  test('ids are read in any case', async () => {
    const { id } = await makeVault();
    const path = `${VAULTS}/${id.toUpperCase()}`;
    const { body } = await mine('POST', `${path}/credentials`, NEW);
    const credential = (body as { credential: Credential }).credential;
    expect(credential.vaultId).toBe(id);
    expect((await mine('GET', `${path}/`)).body).toMatchObject({ id, vault: { id } });
    expect((await mine('PATCH', path, { name: 'upper' })).body).toMatchObject({ vault: { id, name: 'upper' } });
    expectSuccess(await mine('POST', `${path}/set-default`));
    const credentialPath = `${path}/credentials/${credential.id.toUpperCase()}`;
    expect((await mine('PATCH', credentialPath, { name: 'upper' })).body).toMatchObject({ credential: { id: credential.id, name: 'upper' } });
    expectSuccess(await mine('DELETE', credentialPath));
    expectSuccess(await mine('DELETE', `${credentialPath}?force=true`));
    expectSuccess(await mine('DELETE', path));
    expectSuccess(await mine('DELETE', `${path}?force=true`));
  });

  test.each([
    ['GET', '/credentials'],
    ['GET', `/credentials/${randomUUID()}`],
    ['PUT', ''],
    ['POST', ''],
    ['GET', '/set-default'],
    ['DELETE', '/credentials'],
  ])('%s …%s is no route', async (method, rest) => {
    const { id } = await makeVault();
    expectFailure(await mine(method, `${VAULTS}/${id}${rest}`, method === 'GET' ? undefined : {}), 'not_found', 404, 'Route not found');
  });
});

describe('order of checks', () => {
  test('without a key everything is 401', async () => {
    const nobody = apiOf(gateway, '');
    for (const [method, path, body] of [['GET', VAULTS], ['POST', VAULTS, {}], ['GET', `${VAULTS}/x`], ['PATCH', `${VAULTS}/x`, { name: null }], ['DELETE', `${VAULTS}/x?force=maybe`], ['POST', `${VAULTS}/x/set-default`], ['POST', `${VAULTS}/x/credentials`, {}], ['PATCH', `${VAULTS}/x/credentials/y`, {}], ['DELETE', `${VAULTS}/x/credentials/y`]] as const)
      expectFailure(await nobody(method, path, body), 'unauthorized', 401, 'Invalid or missing API key');
  });

  test('a missing scope is told before what is wrong with the request and before what is not there', async () => {
    const team = `scoped-${randomBytes(6).toString('hex')}`;
    const scoped = async (scopes: string): Promise<Api> => makeTeam('--team', team, '--scopes', scopes);
    const [reader, writer, neither] = await Promise.all([scoped('vaults:read'), scoped('vaults:write'), scoped('agents:read,chat:run')]);
    const { id } = await makeVault(writer);
    expect((await reader('GET', `${VAULTS}/${id}`)).status).toBe(200);
    expect((await writer('POST', `${VAULTS}/${id}/set-default`)).status).toBe(200);
    expect((await addCredential(id, 'https://h.example/', {}, writer)).status).toBe(201);

    for (const call of [writer, neither]) for (const path of [VAULTS, `${VAULTS}?status=bad`, `${VAULTS}/${id}`, `${VAULTS}/x`]) expectFailure(await call('GET', path), 'forbidden', 403, 'Missing scope: vaults:read');
    for (const call of [reader, neither])
      for (const [method, path, body] of [['POST', VAULTS, {}], ['POST', VAULTS, []], ['PATCH', `${VAULTS}/${id}`, { name: null }], ['PATCH', `${VAULTS}/x`, {}], ['DELETE', `${VAULTS}/${id}?force=maybe`], ['POST', `${VAULTS}/${id}/set-default`], ['POST', `${VAULTS}/${id}/credentials`, {}], ['PATCH', `${VAULTS}/${id}/credentials/x`, {}], ['DELETE', `${VAULTS}/${id}/credentials/x`]] as const)
        expectFailure(await call(method, path, body), 'forbidden', 403, 'Missing scope: vaults:write');
    expect(await listVaults(reader)).toMatchObject([{ id, status: 'active', isDefault: true }]);
  });

  test('the form of a body comes before its fields, and those before what is not there', async () => {
    const { secret } = await system.createKey();
    const raw = (method: string, path: string, text: string, type = 'application/json'): Promise<Answer> => sendText(gateway, secret, method, path, { text, type });
    const nowhere = `${VAULTS}/${randomUUID()}`;
    for (const [method, path] of [['POST', VAULTS], ['PATCH', nowhere], ['POST', `${nowhere}/set-default`], ['POST', `${nowhere}/credentials`], ['PATCH', `${nowhere}/credentials/x`]] as const) {
      expectFailure(await raw(method, path, '{'), 'invalid_request', 400, 'Request body is not valid JSON');
      expectFailure(await raw(method, path, '[]'), 'invalid_request', 400, 'Request body must be a JSON object');
      expectFailure(await raw(method, path, '{}', 'text/plain'), 'invalid_request', 400, 'Content-Type must be application/json');
    }
    noVault(await raw('DELETE', nowhere, '{', 'text/plain'));
    expectFailure(await mine('PATCH', nowhere, { name: ' ' }), 'validation_error', 400);
    expectFailure(await mine('POST', `${nowhere}/credentials`, {}), 'invalid_request', 400, 'serverUrl is required; auth is required');
    expectFailure(await mine('PATCH', `${nowhere}/credentials/x`, { auth: {} }), 'invalid_request', 400, 'auth.type is required');
  });

  test('what is not there comes before its state', async () => {
    const { id } = await makeVault();
    await makeCredential(id, 'https://h.example/');
    const other = await makeCredential(id, 'https://i.example/');
    noCredential(await mine('PATCH', `${VAULTS}/${id}/credentials/${randomUUID()}`, { serverUrl: 'https://h.example/' }));
    await mine('DELETE', `${VAULTS}/${id}`);
    noVault(await addCredential(id, 'https://h.example/'));
    noVault(await mine('PATCH', `${VAULTS}/${id}/credentials/${other.id}`, { serverUrl: 'https://h.example/' }));
  });
});

/** Over two processes: what only one of them remembers holds nothing. */
describe('many at once', () => {
  let second: AppProcess;
  beforeAll(async () => {
    second = await system.start('vault');
  }, 30_000);
  afterAll(async () => {
    expect(second.log.join('\n')).not.toContain('planted-secret');
    await second.stop();
  }, 30_000);

  test('a vault takes 20 of 200 credentials', async () => {
    const { id } = await makeVault();
    const answers = await parallel(200, async index => addCredential(id, `https://h${index}.example/`));
    expect(statuses(answers)).toEqual({ 201: 20, 422: 180 });
    for (const answer of answers.filter(({ status }) => status === 422)) expectFailure(answer, 'credential_cap_exceeded', 422, 'Vault already has 20 active credentials', { limit: 20 });
    const { credentials } = await getVault(id);
    expect(credentials.map(credential => credential.id).sort()).toEqual(answers.filter(({ status }) => status === 201).map(({ body }) => (body as { credential: Credential }).credential.id).sort());
  }, 60_000);

  test('an address is taken once', async () => {
    const { id } = await makeVault();
    const answers = await parallel(50, async index => addCredential(id, index % 2 === 0 ? 'https://h.example/x' : 'https://H.example:443/x/'));
    expect(statuses(answers)).toEqual({ 201: 1, 409: 49 });
    for (const answer of answers.filter(({ status }) => status === 409)) expectFailure(answer, 'conflict', 409, 'An active credential for this serverUrl already exists in the vault');
    expect((await getVault(id)).credentials).toHaveLength(1);
  }, 60_000);

  test('one vault is the default in the end', async () => {
    const call = await makeTeam();
    const vaults = await Promise.all(Array.from({ length: 50 }, async () => makeVault(call)));
    const answers = await parallel(50, async index => call('POST', `${VAULTS}/${vaults[index]?.id}/set-default`));
    expect(statuses(answers)).toEqual({ 200: 50 });
    expect((await listVaults(call)).filter(({ isDefault }) => isDefault)).toHaveLength(1);
    // Archived and chosen at once: whichever comes first, no archived vault is the default.
    await Promise.all(vaults.slice(0, 10).flatMap(({ id }) => [call('POST', `${VAULTS}/${id}/set-default`), call('DELETE', `${VAULTS}/${id}`)]));
    const after = await listVaults(call);
    expect(after.filter(({ isDefault }) => isDefault).length).toBeLessThanOrEqual(1);
    expect(after.filter(({ isDefault, status }) => isDefault && status === 'archived')).toEqual([]);
    expect(after.filter(({ status }) => status === 'archived')).toHaveLength(10);
  }, 60_000);

  test('changes of different fields lose nothing', async () => {
    const { id } = await makeVault();
    const credential = await makeCredential(id);
    for (let round = 0; round < 10; round++) {
      const vaultChanges = [{ name: `n${round}` }, { description: `d${round}` }, { metadata: { round: `${round}` } }];
      const credentialChanges = [{ name: `n${round}` }, { metadata: { round: `${round}` } }, { inject: { kind: 'query', param: `p${round}` } }, { auth: round % 2 === 0 ? { type: 'oauth', accessToken: 'a' } : BEARER }];
      const answers = await Promise.all([...vaultChanges.map(async body => mine('PATCH', `${VAULTS}/${id}`, body)), ...credentialChanges.map(async body => mine('PATCH', `${VAULTS}/${id}/credentials/${credential.id}`, body))]);
      expect(statuses(answers)).toEqual({ 200: 7 });
      const expected = { name: `n${round}`, metadata: { round: `${round}` } };
      expect(await getVault(id)).toMatchObject({ ...expected, description: `d${round}`, credentials: [{ ...expected, inject: { kind: 'query', param: `p${round}` }, authType: round % 2 === 0 ? 'oauth' : 'bearer' }] });
    }
  }, 60_000);

  test('an end comes once, and nothing begins after it', async () => {
    const { id } = await makeVault();
    const credential = await makeCredential(id, 'https://kept.example/');
    const archivals = await parallel(20, async () => mine('DELETE', `${VAULTS}/${id}/credentials/${credential.id}`));
    expect(statuses(archivals)).toEqual({ 200: 1, 404: 19 });
    const removals = await parallel(20, async () => mine('DELETE', `${VAULTS}/${id}/credentials/${credential.id}?force=true`));
    expect(statuses(removals)).toEqual({ 200: 1, 404: 19 });

    const [ends, additions] = await Promise.all([parallel(10, async () => mine('DELETE', `${VAULTS}/${id}`)), parallel(15, async index => addCredential(id, `https://h${index}.example/`))]);
    expect(statuses(ends)).toEqual({ 200: 1, 404: 9 });
    for (const { status } of additions) expect([201, 404]).toContain(status);
    // However they came, an archived vault holds no secret.
    for (const { status, auth } of (await getVault(id)).credentials) expect({ status, auth }).toEqual({ status: 'archived', auth: { type: 'bearer', archived: true } });
  }, 60_000);
});

test('a secret that cannot be decrypted is shown as such, and can be replaced or thrown away', async () => {
  const { id } = await makeVault();
  const [replaced, archived] = [await makeCredential(id, 'https://a.example/'), await makeCredential(id, 'https://b.example/', { auth: { type: 'oauth', accessToken: 'planted-secret' } })];
  const first = processes.vault;
  await first.stop();
  const other = await system.start('vault', { VAULT_KEYS: `other:${randomBytes(32).toString('base64')}` });
  const path = `${VAULTS}/${id}/credentials`;
  expect((await getVault(id)).credentials).toEqual([{ ...archived, auth: { type: 'oauth', unreadable: true } }, { ...replaced, auth: { type: 'bearer', unreadable: true } }]);
  expect((await mine('PATCH', `${path}/${replaced.id}`, { name: 'still' })).body).toMatchObject({ credential: { name: 'still', auth: { type: 'bearer', unreadable: true } } });
  expect((await mine('PATCH', `${path}/${replaced.id}`, { auth: BEARER })).body).toMatchObject({ credential: { auth: { type: 'bearer', hasToken: true } } });
  expectSuccess(await mine('DELETE', `${path}/${archived.id}`));
  expect((await getVault(id)).credentials).toMatchObject([{ auth: { type: 'oauth', archived: true } }, { auth: { type: 'bearer', hasToken: true } }]);
  expect(other.log.join('\n')).not.toContain('planted-secret');
  await other.stop();
  processes.vault = await system.start('vault');
  expect(first.log.join('\n')).not.toContain('planted-secret');
}, 30_000);

test('no secret is in the log of any process', () => {
  for (const { log } of Object.values(processes)) expect(log.join('\n')).not.toContain('planted-secret');
});
