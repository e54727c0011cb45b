import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AppProcess, createSystem, type System } from '@gatehouse/testing';

let system: System;
let gateway: AppProcess;
let secret: string;
let sandboxId: string;
beforeAll(async () => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' });
  ({ gateway } = await system.startAll());
  ({ secret } = await system.createKey());
  expect((await call('PUT', '/v1/agents/demo', { model: 'scripted' })).status).toBe(201);
  sandboxId = ((await call('POST', '/v1/sandboxes', { agent: 'demo' })).body as { id: string }).id;
}, 60_000);
afterAll(async () => system.close(), 60_000);

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Headers;
}
const call = async (method: string, path: string, body?: unknown, key = secret): Promise<Answer> => {
  const answer = await fetch(`${gateway.url}${path}`, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? null : (JSON.parse(text) as unknown), headers: answer.headers };
};
const expectFailure = ({ status, body }: Answer, code: string, expectedStatus: number, message: unknown = expect.any(String), extras: object = {}): void => {
  expect(body).toEqual({ error: { code, message, status: expectedStatus, ...extras } });
  expect(status).toBe(expectedStatus);
};
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('agents', () => {
  test('PUT fills in every default, and makes a version each time', async () => {
    const first = await call('PUT', '/v1/agents/plain', {});
    expect(first.status).toBe(201);
    expect(first.body).toEqual({
      id: expect.stringMatching(UUID),
      slug: 'plain',
      version: 1,
      latestVersion: 1,
      name: 'plain',
      model: 'claude-sonnet-4-6',
      systemPrompt: null,
      maxTurns: 50,
      maxBudgetUsd: null,
      maxSandboxBudgetUsd: null,
      permissionMode: 'bypassPermissions',
      allowedTools: null,
      disallowedTools: [],
      mcpServers: [],
      vaultIds: [],
      sandbox: { timeoutMs: 30000, cpuCount: null, memoryMB: null, diskMB: null, files: {}, setup: [], cwd: '/home/user/workspace', networkAllowOut: [], networkDenyOut: [] },
      envKeys: [],
      createdAt: expect.stringMatching(DATE_TIME),
      updatedAt: expect.stringMatching(DATE_TIME),
    });
    const second = await call('PUT', '/v1/agents/plain', { name: ' Named ', maxBudgetUsd: '2.50', envs: { B: '2', A: 'secret value' }, mcpServers: [{ name: 'linear', url: 'https://mcp.linear.app/mcp' }] });
    expect(second.status).toBe(200);
    expect(second.body).toMatchObject({ version: 2, latestVersion: 2, name: 'Named', maxBudgetUsd: 2.5, envKeys: ['A', 'B'] });
    expect(JSON.stringify(second.body)).not.toContain('secret value');
    // A whole definition each time: what is absent takes its default again.
    expect((await call('PUT', '/v1/agents/plain', {})).body).toMatchObject({ version: 3, name: 'plain', maxBudgetUsd: null, envKeys: [] });
    expect((await call('GET', '/v1/agents/plain')).body).toMatchObject({ version: 3 });
  });

  test('rollback activates a version and makes none', async () => {
    for (const name of ['one', 'two']) await call('PUT', '/v1/agents/rolled', { name });
    expectFailure(await call('POST', '/v1/agents/rolled/rollback', {}), 'invalid_request', 400, 'version is required');
    expectFailure(await call('POST', '/v1/agents/rolled/rollback', { version: 0 }), 'validation_error', 400);
    expectFailure(await call('POST', '/v1/agents/rolled/rollback', { version: 9 }), 'not_found', 404, 'Version not found');
    expectFailure(await call('POST', '/v1/agents/nobody/rollback', { version: 1 }), 'not_found', 404, 'Agent not found');
    expectFailure(await call('POST', '/v1/agents/rolled/rollback', { version: 2 }), 'conflict', 409);
    const rolled = await call('POST', '/v1/agents/rolled/rollback', { version: 1 });
    expect(rolled.status).toBe(200);
    expect(rolled.body).toMatchObject({ version: 1, latestVersion: 2, name: 'one' });
    expect((await call('PUT', '/v1/agents/rolled', { name: 'three' })).body).toMatchObject({ version: 3, latestVersion: 3 });
    expect((await call('GET', '/v1/agents/rolled/versions')).body).toMatchObject({
      versions: [
        { version: 3, active: true, keyId: expect.stringMatching(UUID), createdAt: expect.stringMatching(DATE_TIME), definition: { name: 'three', envKeys: [] } },
        { version: 2, active: false, definition: { name: 'two' } },
        { version: 1, active: false, definition: { name: 'one' } },
      ],
      nextCursor: null,
    });
  });

  test('a deleted agent is gone with its sandboxes, and its slug begins anew', async () => {
    await call('PUT', '/v1/agents/shortlived', { model: 'scripted' });
    const { id } = (await call('POST', '/v1/sandboxes', { agent: 'shortlived' })).body as { id: string };
    expect((await call('DELETE', '/v1/agents/shortlived')).status).toBe(204);
    expectFailure(await call('GET', `/v1/sandboxes/${id}`), 'not_found', 404, 'Sandbox not found');
    for (const [method, path] of [['GET', '/v1/agents/shortlived'], ['DELETE', '/v1/agents/shortlived'], ['GET', '/v1/agents/shortlived/versions']] as const) expectFailure(await call(method, path), 'not_found', 404, 'Agent not found');
    expect(await call('PUT', '/v1/agents/shortlived', {})).toMatchObject({ status: 201, body: { version: 1 } });
  });

  test.each([
    ['GET', '/v1/agents/UPPER', 'not_found', 404, 'Agent not found'],
    ['GET', `/v1/agents/${'a'.repeat(500)}`, 'not_found', 404, 'Agent not found'],
    ['DELETE', '/v1/agents/-x', 'not_found', 404, 'Agent not found'],
    ['PUT', '/v1/agents/UPPER', 'validation_error', 400, expect.stringMatching(/^slug must /)],
  ])('%s %s', async (method, path, code, status, message) => {
    expectFailure(await call(method, path, method === 'PUT' ? {} : undefined), code, status, message);
  });

  test.each([
    [{ model: 'gpt-none' }, 'validation_error', expect.stringContaining('model')],
    [{ name: '   ' }, 'validation_error', expect.stringContaining('name')],
    [{ name: 'a\u0000b' }, 'validation_error', expect.stringContaining('name')],
    [{ maxTurns: 501 }, 'validation_error', 'maxTurns must be an integer from 1 to 500'],
    [{ maxBudgetUsd: 0.0000001 }, 'validation_error', expect.stringContaining('maxBudgetUsd')],
    [{ permissionMode: 'yolo' }, 'validation_error', expect.stringContaining('permissionMode')],
    [{ sandbox: { memoryMB: 262144 } }, 'validation_error', expect.stringContaining('sandbox.memoryMB')],
    [{ sandbox: { setup: [''] } }, 'validation_error', expect.stringContaining('sandbox.setup[0]')],
    [{ mcpServers: [{}] }, 'invalid_request', 'mcpServers[0].name is required; mcpServers[0].url is required'],
  ])('PUT %j is refused', async (definition, code, message) => {
    expectFailure(await call('PUT', '/v1/agents/refused', definition), code, 400, message);
    expectFailure(await call('GET', '/v1/agents/refused'), 'not_found', 404, 'Agent not found');
  });

  test('prompts and files keep every character, NUL and lone surrogates among them', async () => {
    const sandbox = { files: { '/home/user/odd.txt': 'a\u0000b' } };
    expect(await call('PUT', '/v1/agents/odd', { systemPrompt: 'a\u0000b', sandbox })).toMatchObject({ status: 201, body: { systemPrompt: 'a\u0000b', sandbox } });
  });

  test('a page of large definitions ends before it is too large to answer, and the next goes on there', async () => {
    const { secret: own } = await system.createKey();
    const files = { big: 'x'.repeat(9_000_000) };
    for (let version = 1; version <= 5; version++) expect((await call('PUT', '/v1/agents/big', { sandbox: { files } }, own)).status).toBeLessThan(300);
    const seen: number[] = [];
    let path = '/v1/agents/big/versions?limit=100';
    for (let pages = 0; path !== '' && pages < 10; pages++) {
      const { status, body } = await call('GET', path, undefined, own);
      expect(status).toBe(200);
      const { versions, nextCursor } = body as { versions: { version: number }[]; nextCursor: string | null };
      expect(versions.length).toBeLessThan(5);
      seen.push(...versions.map(({ version }) => version));
      path = nextCursor === null ? '' : `/v1/agents/big/versions?limit=100&cursor=${nextCursor}`;
    }
    expect(seen).toEqual([5, 4, 3, 2, 1]);
  }, 60_000);

  test('lists are paged, newest first, and a cursor fits only its own list', async () => {
    const { secret: own } = await system.createKey();
    for (const slug of ['a', 'b', 'c', 'd', 'e']) await call('PUT', `/v1/agents/${slug}`, {}, own);
    const pages: string[][] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body } = await call('GET', `/v1/agents?limit=2&cursor=${cursor}`, undefined, own);
      const page = body as { agents: { slug: string }[]; nextCursor: string | null };
      pages.push(page.agents.map(({ slug }) => slug));
      cursor = page.nextCursor;
    }
    expect(pages).toEqual([['e', 'd'], ['c', 'b'], ['a']]);

    const { nextCursor } = (await call('GET', '/v1/agents?limit=2', undefined, own)).body as { nextCursor: string };
    for (const path of [`/v1/sandboxes?cursor=${nextCursor}`, `/v1/agents/a/versions?cursor=${nextCursor}`, '/v1/agents?cursor=garbage', '/v1/agents?cursor=e30']) expectFailure(await call('GET', path, undefined, own), 'validation_error', 400);
    for (const limit of ['0', '101', 'x']) expectFailure(await call('GET', `/v1/agents?limit=${limit}`), 'validation_error', 400, 'limit must be an integer from 1 to 100');
  });
});

describe('sandboxes', () => {
  test.each([
    [{}, 'invalid_request', 400, 'agent is required'],
    [{ agent: '' }, 'invalid_request', 400, 'agent is required'],
    [{ agent: 7 }, 'validation_error', 400, expect.stringContaining('agent')],
    [{ agent: 'nobody' }, 'not_found', 404, 'Agent not found'],
    [{ agent: 'nobody', timeoutMs: 1 }, 'validation_error', 400, expect.stringContaining('timeoutMs')],
    [{ agent: 'demo', envs: { GATEHOUSE_X: '1' } }, 'validation_error', 400, expect.stringContaining('envs')],
    [{ agent: 'demo', files: { '': 'x' } }, 'validation_error', 400, expect.stringContaining('files')],
    [{ agent: 'demo', metadata: { k: null } }, 'validation_error', 400, expect.stringContaining('metadata')],
    [{ agent: 'demo', metadata: { k: 'a\u0000' } }, 'validation_error', 400, expect.stringContaining('metadata')],
    [{ agent: 'demo', externalUserId: 'a\u0000' }, 'validation_error', 400, expect.stringContaining('externalUserId')],
    [{ agent: 'demo', files: { '/proc/nowhere/file': 'x' } }, 'sandbox_error', 500, expect.any(String)],
    [{ agent: 'demo', files: { '/home/user/a/b': 'x', '/home/user/a/b/c': 'x' } }, 'sandbox_error', 500, expect.any(String)],
    [{ agent: 'demo', setup: ['true', 'exit 4'] }, 'sandbox_error', 500, expect.stringContaining('Setup command 2')],
  ])('POST %j is refused and leaves no record', async (body, code, status, message) => {
    const { secret: own } = await system.createKey();
    await call('PUT', '/v1/agents/demo', { model: 'scripted' }, own);
    expectFailure(await call('POST', '/v1/sandboxes', body, own), code, status, message);
    expect((await call('GET', '/v1/sandboxes', undefined, own)).body).toEqual({ sandboxes: [], nextCursor: null });
  });

  test('are read, listed by filters, and deleted once', async () => {
    const { secret: own } = await system.createKey();
    for (const slug of ['one', 'two']) await call('PUT', `/v1/agents/${slug}`, { model: 'scripted', name: slug.toUpperCase() }, own);
    const make = async (body: object): Promise<string> => ((await call('POST', '/v1/sandboxes', body, own)).body as { id: string }).id;
    const a = await make({ agent: 'one', metadata: { env: 'prod', tier: 'gold' }, externalUserId: ' u1 ' });
    const b = await make({ agent: 'two', metadata: { env: 'prod' } });
    expect((await call('GET', `/v1/sandboxes/${a}`, undefined, own)).body).toEqual({
      id: a,
      sandboxId: a,
      status: 'active',
      error: null,
      agent: { slug: 'one', name: 'ONE' },
      metadata: { env: 'prod', tier: 'gold' },
      externalUserId: 'u1',
      threads: [],
      createdAt: expect.stringMatching(DATE_TIME),
      updatedAt: expect.stringMatching(DATE_TIME),
    });
    const listed = async (query: string): Promise<string[]> => ((await call('GET', `/v1/sandboxes?${query}`, undefined, own)).body as { sandboxes: { id: string }[] }).sandboxes.map(({ id }) => id);
    expect(await listed('')).toEqual([b, a]);
    expect(await listed('agent=one')).toEqual([a]);
    expect(await listed('agent=nobody')).toEqual([]);
    expect(await listed('status=active')).toEqual([b, a]);
    expect(await listed('status=stopped')).toEqual([]);
    expect(await listed('metadata[env]=prod')).toEqual([b, a]);
    expect(await listed('metadata[env]=prod&metadata[tier]=gold')).toEqual([a]);
    expect((await call('GET', '/v1/sandboxes', undefined, own)).body).not.toHaveProperty('sandboxes.0.threads');
    expectFailure(await call('GET', '/v1/sandboxes?status=lost', undefined, own), 'validation_error', 400);

    const deletions = await Promise.all(Array.from({ length: 5 }, async () => call('DELETE', `/v1/sandboxes/${a}`, undefined, own)));
    expect(deletions.map(({ status }) => status).sort()).toEqual([204, 404, 404, 404, 404]);
    expect((await call('DELETE', `/v1/sandboxes/${b}`, undefined, own)).status).toBe(204);
  }, 30_000);

  test.each(['.hidden', 'user:1', 'a'.repeat(129), '%20', '00000000-0000-4000-8000-000000000000'])('%s is no sandbox', async id => {
    expectFailure(await call('GET', `/v1/sandboxes/${id}`), 'not_found', 404, 'Sandbox not found');
    expectFailure(await call('DELETE', `/v1/sandboxes/${id}`), 'not_found', 404, 'Sandbox not found');
    expectFailure(await call('POST', `/v1/sandboxes/${id}/exec`, { command: 'true' }), 'not_found', 404, 'Sandbox not found');
  });
});

describe('exec', () => {
  const exec = async (body: unknown): Promise<Answer> => call('POST', `/v1/sandboxes/${sandboxId}/exec`, body);

  test.each([
    ['a result', 'echo out; echo err >&2', { stdout: 'out\n', stderr: 'err\n', exitCode: 0, truncated: false }],
    ['a non-zero exit', 'exit 42', { stdout: '', stderr: '', exitCode: 42, truncated: false }],
    ['a command that is not there', 'no-such-program', { exitCode: 127 }],
    ['a death by signal', 'kill -9 $$', { exitCode: 137 }],
    ['bytes that are not UTF-8', "printf 'a\\377b'", { stdout: 'a\uFFFDb' }],
    ['quotes and newlines', `echo "a'b" 'c"d'\necho second`, { stdout: `a'b c"d\nsecond\n` }],
    ['a home', 'pwd; echo $HOME; whoami', { stdout: '/home/user\n/home/user\nuser\n' }],
  ])('%s is 200', async (_name, command, result) => {
    const answer = await exec({ command });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject(result);
  });

  test('a long command, an environment and a directory of its own', async () => {
    expect((await exec({ command: `true ${'x'.repeat(99_995)}` })).body).toMatchObject({ exitCode: 0 });
    expect((await exec({ command: 'mkdir -p deep && cd deep && pwd' })).body).toMatchObject({ stdout: '/home/user/deep\n' });
    expect((await exec({ command: 'pwd; echo $A', cwd: 'deep', envs: { A: '1' } })).body).toMatchObject({ stdout: '/home/user/deep\n1\n' });
    expect((await exec({ command: 'pwd', cwd: '/usr/../tmp/.' })).body).toMatchObject({ stdout: '/tmp\n' });
    expect((await exec({ command: 'echo $A' })).body).toMatchObject({ stdout: '\n' });
  });

  test('output is cut at 10 MiB each, whatever it is made of', async () => {
    const { body, status } = await exec({ command: 'head -c 11000000 /dev/zero; head -c 11000000 /dev/zero | tr "\\0" e >&2' });
    expect(status).toBe(200);
    const { stdout, stderr, truncated, exitCode } = body as { stdout: string; stderr: string; truncated: boolean; exitCode: number };
    // 10 MiB of NUL is 60 MiB of JSON: the worst that a result can be.
    expect([stdout.length, stderr.length]).toEqual([10_485_760, 10_485_760]);
    expect({ truncated, exitCode }).toEqual({ truncated: true, exitCode: 0 });
    expect((await exec({ command: 'head -c 10485760 /dev/zero' })).body).toMatchObject({ truncated: false });
  }, 60_000);

  test('a command over its time is killed with everything it started', async () => {
    expectFailure(await exec({ command: 'trap "" TERM; (setsid sleep 1000 &) ; sleep 1000', timeoutMs: 300 }), 'sandbox_error', 500, 'Command timed out after 300 ms', { timedOut: true });
    expect((await exec({ command: 'grep -al sleep /proc/[0-9]*/cmdline 2>/dev/null | grep -v self | while read f; do tr "\\0" " " < $f; done | grep -c "^sleep" ; true' })).body).toMatchObject({ stdout: '0\n' });
  });

  test.each([
    [{}, 'invalid_request', 400, 'command is required'],
    [{ command: '' }, 'invalid_request', 400, 'command is required'],
    [{ command: 'x'.repeat(100_001) }, 'validation_error', 400, 'command must have at most 100000 characters'],
    [{ command: 'true', timeoutMs: 0 }, 'validation_error', 400, 'timeoutMs must be an integer from 1 to 600000'],
    [{ command: 'true', timeoutMs: 600_001 }, 'validation_error', 400, 'timeoutMs must be an integer from 1 to 600000'],
    [{ command: 'true', cwd: 'a\u0000' }, 'validation_error', 400, 'cwd must not contain NUL'],
    [{ command: 'true', cwd: '/no/such/dir' }, 'not_found', 404, 'File not found'],
    [{ command: 'true', cwd: '/proc/nowhere' }, 'not_found', 404, 'File not found'],
    [{ command: 'true', cwd: 'a/'.repeat(2_048) }, 'not_found', 404, 'File not found'],
    [{ command: 'true', cwd: '/etc/passwd' }, 'not_found', 404, 'File not found'],
    [{ command: 'true', envs: { https_proxy: 'x' } }, 'validation_error', 400, 'envs["https_proxy"] is set by the platform'],
    [{ command: 'true', envs: { A: 7 } }, 'validation_error', 400, 'envs["A"] must be a string'],
  ])('is refused', async (body, code, status, message) => {
    expectFailure(await exec(body), code, status, message);
  });

  test('a command with a NUL is an answer of the contract, not a fault', async () => {
    const { status } = await exec({ command: 'echo a\u0000b' });
    expect([200, 400]).toContain(status);
  });
});

describe("another team's things do not exist", () => {
  test('the same bytes as for what never was', async () => {
    const { secret: stranger } = await system.createKey();
    const missing = '00000000-0000-4000-8000-000000000000';
    for (const [method, path, body] of [
      ['GET', '/v1/sandboxes/:id'],
      ['DELETE', '/v1/sandboxes/:id'],
      ['POST', '/v1/sandboxes/:id/exec', { command: 'true' }],
      ['GET', '/v1/sandboxes/:id?agent=demo'],
    ] as const) {
      const theirs = await call(method, path.replace(':id', sandboxId), body, stranger);
      expect(theirs).toMatchObject({ status: 404 });
      expect(theirs.body).toEqual((await call(method, path.replace(':id', missing), body, stranger)).body);
    }
    for (const [method, path, body] of [
      ['GET', '/v1/agents/demo'],
      ['DELETE', '/v1/agents/demo'],
      ['GET', '/v1/agents/demo/versions'],
      ['POST', '/v1/agents/demo/rollback', { version: 1 }],
    ] as const) expectFailure(await call(method, path, body, stranger), 'not_found', 404, 'Agent not found');
    expectFailure(await call('POST', '/v1/sandboxes', { agent: 'demo' }, stranger), 'not_found', 404, 'Agent not found');
    expect((await call('GET', `/v1/sandboxes/${sandboxId}`)).status).toBe(200);
  });
});

test('a revoked key stops on the next request, through the command line too', async () => {
  const { secret: revoked, keyId } = await system.createKey('--name', 'to be revoked');
  expect((await call('GET', '/v1/me', undefined, revoked)).status).toBe(200);
  expect(await system.cli('keys', 'revoke', keyId)).toBe(`Key ${keyId} is revoked.\n`);
  expectFailure(await call('GET', '/v1/me', undefined, revoked), 'unauthorized', 401, 'Invalid or missing API key');
}, 30_000);
