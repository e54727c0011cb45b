import { createHash } from 'node:crypto';
import { AgentClient } from '@21st-sdk/node';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { type AppProcess, createRedisProcess, createSystem, eventually, GIT_SERVER, GIT_SERVER_DIR, type GitOrigins, MAKE_REPOSITORIES, type RedisProcess, startGitServer, type System } from '@gatehouse/testing';
import { Redis } from 'ioredis';
import { type Answer, type Api, apiOf } from './testing/api.js';
import { Planted } from './testing/planted.js';

const planted = new Planted();
const token = planted.secret('clone');
/** What `MONITOR` shows: every command that reaches Redis, with all its arguments. */
const monitored: string[] = [];
const answers: string[] = [];

let redis: RedisProcess;
let monitor: Redis;
let system: System;
let apps: Record<'gateway' | 'sandbox' | 'vault' | 'budget' | 'egress', AppProcess>;
let secret: string;
let api: Api;
let sandboxId: string;
let origin: string;

/** Reads all of /proc, and the home, over and over: whatever shows a planted secret, and whether git was there to be seen. */
const WATCHER = `
const fs = require('node:fs');
const PLAIN = /planted\\/(\\w+)\\+[0-9a-f]{18}/;
const ENCODED = process.argv[2];
const hits = new Set(), seen = new Set();
let rounds = 0, roundsWithCredential = 0;
const read = file => { try { return fs.readFileSync(file, 'latin1'); } catch { return ''; } };
const look = (what, text) => {
  const name = PLAIN.exec(text)?.[1] ?? (text.includes(ENCODED) ? 'encoded' : undefined);
  if (name) hits.add(what + ' ' + name);
};
const walk = directory => { for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
  const path = directory + '/' + entry.name;
  if (entry.isDirectory()) { try { walk(path); } catch {} } else if (entry.isFile()) look('file', read(path));
} };
const round = () => {
  for (const pid of fs.readdirSync('/proc').filter(name => /^[0-9]+$/.test(name))) {
    const command = read('/proc/' + pid + '/cmdline');
    if (command.includes('remote-http')) seen.add('git');
    look('cmdline', command);
    look('environ', read('/proc/' + pid + '/environ'));
  }
  walk('/home/user');
  rounds++;
  if (read('${GIT_SERVER_DIR}/requests.log').includes('/held/repo.git/info/refs?service=git-upload-pack credential') && ++roundsWithCredential === 20) fs.writeFileSync('${GIT_SERVER_DIR}/go', '');
  if (rounds === 1) fs.writeFileSync('/tmp/watching', '');
  if (fs.existsSync('/tmp/stop')) console.log(JSON.stringify({ seen: [...seen], hits: [...hits].sort(), rounds: roundsWithCredential }));
  else setImmediate(round);
};
round();
`;

beforeAll(async () => {
  redis = await createRedisProcess();
  await redis.start();
  const connection = new Redis(redis.url);
  monitor = await connection.monitor(); // a connection of its own
  connection.disconnect();
  monitor.on('monitor', (_time: string, parts: string[]) => void monitored.push(parts.join(' ')));
  system = createSystem({ REDIS_URL: redis.url, LOG_LEVEL: 'trace', RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' });
  apps = await system.startAll();
  ({ secret } = await system.createKey());
  const call = apiOf(apps.gateway, secret);
  api = async (...request): Promise<Answer> => {
    const answer = await call(...request);
    answers.push(answer.text);
    return answer;
  };
  await api('PUT', '/v1/agents/demo', { model: 'scripted' });
  const files = { [`${GIT_SERVER_DIR}/server.cjs`]: GIT_SERVER, [`${GIT_SERVER_DIR}/watcher.cjs`]: WATCHER };
  const made = await api('POST', '/v1/sandboxes', { agent: 'demo', files, timeoutMs: 600_000 });
  expect(made.body).toMatchObject({ status: 'active' });
  sandboxId = (made.body as { id: string }).id;
  await sh(MAKE_REPOSITORIES);
  const authorization = `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
  ({ origin } = JSON.parse(await sh(startGitServer(createHash('sha256').update(authorization).digest('hex')))) as GitOrigins);
}, 90_000);
afterAll(async () => {
  await system?.close();
  monitor?.disconnect();
  await redis?.kill();
}, 60_000);

const exec = async (command: string, envs: object = {}): Promise<{ stdout: string; stderr: string; exitCode: number }> => {
  const { status, body, text } = await api('POST', `/v1/sandboxes/${sandboxId}/exec`, { command, envs });
  if (status !== 200) throw new Error(text);
  return body as { stdout: string; stderr: string; exitCode: number };
};
const sh = async (command: string): Promise<string> => {
  const { stdout, stderr, exitCode } = await exec(command);
  if (exitCode !== 0) throw new Error(`exit ${exitCode}: ${stderr}`);
  return stdout.trimEnd();
};
const clone = (body: unknown, id = sandboxId): Promise<Answer> => api('POST', `/v1/sandboxes/${id}/git/clone`, body);

const expectDeprecated = ({ headers }: Pick<Answer, 'headers'>): void => {
  expect([headers.get('deprecation'), headers.get('x-deprecated')]).toEqual(['true', 'use exec']);
  expect(headers.get('access-control-expose-headers')).toMatch(/Deprecation, X-Deprecated/);
};
const expectFailure = (answer: Answer, error: object): void => {
  expect(answer.body).toEqual({ error });
  expectDeprecated(answer);
};

test('the published client clones', async () => {
  const warned = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
  const client = new AgentClient({ apiKey: secret, baseUrl: apps.gateway.url });
  try {
    expect(await client.sandboxes.git.clone({ sandboxId, url: `${origin}/open/repo.git` })).toEqual({ path: '/home/user/repo', branch: 'main' });
    expect(await client.sandboxes.git.clone({ sandboxId, url: `${origin}/private/repo.git`, path: 'shallow', token, depth: 1 })).toEqual({ path: '/home/user/shallow', branch: 'main' });
    await expect(client.sandboxes.git.clone({ sandboxId, url: `${origin}/open/repo.git` })).rejects.toThrow('The target exists and is not an empty directory');
  } finally {
    warned.mockRestore();
  }
  expect(await sh('cat repo/number.txt && git -C shallow rev-list --count HEAD')).toBe('3\n1');
}, 60_000);

test('a branch is checked out, and the answer says that there is a newer way', async () => {
  const answer = await clone({ url: `${origin}/open/repo.git`, path: '/home/user/../user/./feature', branch: 'feature', depth: 1 });
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({ path: '/home/user/feature', branch: 'feature' });
  expectDeprecated(answer);
}, 60_000);

test.each<[what: string, body: unknown, message: string]>([
  ['no url', {}, 'url is required'],
  ['an empty url', { url: '' }, 'url is required'],
  ['a null url beside something wrong', { url: null, depth: 0 }, 'url is required; depth must be an integer from 1 to 2147483647'],
])('refuses %s', async (_what, body, message) => {
  expectFailure(await clone(body), { code: 'invalid_request', message, status: 400 });
});

const url = 'https://example.com/repo.git';
test.each<[what: string, body: object, message: string]>([
  ['a url that is none', { url: 'example.com/repo' }, 'url must be an http or https URL'],
  ['another scheme', { url: 'ssh://git@example.com/repo.git' }, 'url must be an http or https URL'],
  ['a local path', { url: 'file:///etc' }, 'url must be an http or https URL'],
  ['a remote helper', { url: 'ext::sh -c id' }, 'url must be an http or https URL'],
  ['user info', { url: 'https://user:pass@example.com/repo.git' }, 'url must not contain user info'],
  ['a user name', { url: 'https://user@example.com/repo.git' }, 'url must not contain user info'],
  ['a url that is no text', { url: 1 }, 'url must be a string'],
  ['a path that is none', { url, path: 'a\0b' }, 'path must not contain NUL'],
  ['a path that is empty', { url, path: '' }, 'path must have 1 to 4096 bytes'],
  ['a path that is too long', { url, path: 'ü'.repeat(2_049) }, 'path must have 1 to 4096 bytes'],
  ['an empty token', { url, token: '' }, 'token must not be empty'],
  ['a token that is too long', { url, token: 'x'.repeat(4_097) }, 'token must have at most 4096 characters'],
  ['a token of two lines', { url, token: 'a\nb' }, 'token must not contain control characters'],
  ['a token that is no text', { url, token: 1 }, 'token must be a string'],
  ['no depth at all', { url, depth: 0 }, 'depth must be an integer from 1 to 2147483647'],
  ['half a depth', { url, depth: 1.5 }, 'depth must be an integer from 1 to 2147483647'],
  ['a branch that is an option', { url, branch: '--upload-pack=id' }, 'branch must be a valid ref name'],
  ['a branch that is none', { url, branch: 'a..b' }, 'branch must be a valid ref name'],
  ['a branch that is too long', { url, branch: 'b'.repeat(256) }, 'branch must have at most 255 characters'],
])('refuses %s', async (_what, body, message) => {
  expectFailure(await clone(body), { code: 'validation_error', message, status: 400 });
});

test('a sandbox that is not there, a target that is not empty, a clone that fails', async () => {
  const nobody = { code: 'not_found', message: 'Sandbox not found', status: 404 };
  expectFailure(await clone({ url }, 'nobody'), nobody);
  expectFailure(await clone({ url }, '..%2F..'), nobody);
  expectFailure(await api('POST', `/v1/sandboxes/${sandboxId}/git/clone?agent=other`, { url }), nobody);
  await sh('mkdir -p taken && touch taken/something');
  expectFailure(await clone({ url: `${origin}/open/repo.git`, path: 'taken' }), { code: 'conflict', message: 'The target exists and is not an empty directory', status: 409 });
  expectFailure(await clone({ url: `${origin}/open/none.git`, path: 'none' }), { code: 'sandbox_error', message: 'The repository could not be cloned: the server does not have it', status: 500 });
  // Sandboxes have no way out yet.
  expectFailure(await clone({ url, path: 'none' }), { code: 'sandbox_error', message: 'The repository could not be cloned: the server could not be reached', status: 500 });
  expect(await sh('ls -d none 2>/dev/null || ls taken')).toBe('something');
}, 60_000);

test('what is refused before the request is read says so too', async () => {
  const path = `${apps.gateway.url}/v1/sandboxes/${sandboxId}/git/clone`;
  const post = async (authorization: string, body = '{}', type = 'application/json') => fetch(path, { method: 'POST', headers: { authorization, 'content-type': type }, body });
  const { secret: reader } = await system.createKey('--scopes', 'sandboxes:read,sandboxes:write');
  const limited = await system.start('gateway', { RATE_LIMIT_TEAM_BURST: '1', RATE_LIMIT_TEAM: '1' });
  const limitedPath = path.replace(apps.gateway.url, limited.url);
  const { secret: hasty } = await system.createKey();
  const hurry = async () => fetch(limitedPath, { method: 'POST', headers: { authorization: `Bearer ${hasty}`, 'content-type': 'application/json' }, body: '{}' });
  const refused = [
    [401, await post('Bearer wrong')],
    [403, await post(`Bearer ${reader}`)],
    [400, await post(`Bearer ${secret}`, 'not json')],
    [400, await post(`Bearer ${secret}`, 'a=b', 'text/plain')],
    [400, await hurry()],
    [429, await hurry()],
  ] as const;
  for (const [status, answer] of refused) {
    expect(answer.status).toBe(status);
    expectDeprecated(answer);
  }
  // And no other route does.
  expect((await api('GET', `/v1/sandboxes/${sandboxId}`)).headers.get('deprecation')).toBeNull();
}, 60_000);

test('of two clones into one directory one is told to wait its turn, and the other is whole', async () => {
  const outcomes = await Promise.all(Array.from({ length: 4 }, () => clone({ url: `${origin}/open/repo.git`, path: 'contested' })));
  expect(outcomes.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
  expect(await sh('cd contested && cat number.txt && git fsck && git status --porcelain')).toMatch(/^3/);
}, 60_000);

test('a token is seen by nobody: no process, no file, no log, no answer, no command to Redis', async () => {
  const encoded = Buffer.from('x-access-token:planted/clone+').toString('base64').slice(0, -4);
  const control = planted.secret('control');
  await sh(`printf '%s' '${control}' > control.txt`);
  // Something to be found, so that finding nothing else means something.
  const decoy = exec(`: '${control}'; until [ -e /tmp/stop ]; do sleep 0.05; done`, { CONTROL: control });
  const watching = exec(`/opt/gatehouse/node ${GIT_SERVER_DIR}/watcher.cjs ${encoded.slice(0, 20)}`);
  await eventually(async () => expect(await sh('ls /tmp/watching')).toBe('/tmp/watching'));
  expect((await clone({ url: `${origin}/held/repo.git`, path: 'held', token })).body).toEqual({ path: '/home/user/held', branch: 'main' });
  await sh('touch /tmp/stop');
  const report = JSON.parse((await watching).stdout) as { seen: string[]; hits: string[]; rounds: number };
  expect(report.rounds).toBeGreaterThanOrEqual(20);
  expect(report.seen).toEqual(['git']);
  // Of the watcher's own argument it sees the encoded beginning.
  expect(report.hits).toEqual(['cmdline control', 'cmdline encoded', 'environ control', 'file control']);
  expect((await decoy).exitCode).toBe(0);

  const wrong = planted.secret('wrong');
  const refused = { code: 'sandbox_error', message: 'The repository could not be cloned: the server refused access', status: 500 };
  expectFailure(await clone({ url: `${origin}/private/repo.git`, path: 'wrong', token: wrong }), refused);
  expectFailure(await clone({ url: `${origin}/echo/repo.git`, path: 'wrong', token }), refused);
  expectFailure(await clone({ url: `${origin}/private/repo.git`, path: '/home/user/repo', token }), { code: 'conflict', message: 'The target exists and is not an empty directory', status: 409 });
  await clone({ url: 'none', token });

  const logs = Object.values(apps).flatMap(({ log }) => log);
  expect(logs.filter(line => line.includes('exit 128: '))).not.toEqual([]);
  expect(planted.in(logs.join('\n'))).toEqual([]);
  expect(planted.in(answers.join('\n'))).toEqual([]);
  expect(monitored.length).toBeGreaterThan(100);
  expect(planted.in(monitored.join('\n'))).toEqual([]);
  expect(await sh(`rm control.txt; grep -rlF -e planted -e '${encoded}' /home/user /tmp --exclude=watcher.cjs || echo nowhere`)).toBe('nowhere');
}, 60_000);

test('without a sandbox service it is unavailable', async () => {
  await apps.sandbox.stop();
  const answer = await clone({ url });
  expectFailure(answer, { code: 'sandbox_error', message: expect.any(String), status: 503, retryAfter: expect.any(Number) });
  expect(answer.headers.get('retry-after')).not.toBeNull();
}, 60_000);
