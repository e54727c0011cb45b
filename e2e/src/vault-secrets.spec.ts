import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type Database, openDatabase } from '@gatehouse/database';
import { type AppProcess, createOwnDatabase, createRedisProcess, createSystem, eventually, type OwnDatabase, type RedisProcess, type System } from '@gatehouse/testing';
import { Redis } from 'ioredis';
import { type Answer, type Api, apiOf } from './testing/api.js';
import { Planted } from './testing/planted.js';
import { openReleases, type Releases } from './testing/releases.js';
import { openTokenEndpoint, type TokenEndpoint } from './testing/token-endpoint.js';

const planted = new Planted();
/** What `MONITOR` shows: every command that reaches Redis, with all its arguments. */
const monitored: string[] = [];
const answers: string[] = [];

let redis: RedisProcess;
let own: OwnDatabase;
let database: Database;
let monitor: Redis;
let system: System;
let apps: AppProcess[];
let api: Api;
let releases: Releases;
let endpoint: TokenEndpoint;
const old = `old:${randomBytes(32).toString('base64')}`;
const current = `new:${randomBytes(32).toString('base64')}`;

beforeAll(async () => {
  [redis, own] = await Promise.all([createRedisProcess(), createOwnDatabase()]);
  await redis.start();
  database = openDatabase({ url: own.url, applicationName: 'spec' });
  const connection = new Redis(redis.url);
  monitor = await connection.monitor(); // a connection of its own
  connection.disconnect();
  monitor.on('monitor', (_time: string, parts: string[]) => void monitored.push(parts.join(' ')));
  endpoint = await openTokenEndpoint((form, count) => {
    if (form.get('scope') === 'refused') return { status: 400, body: { error: 'invalid_grant', error_description: form.get('refresh_token') } };
    return { body: { access_token: planted.secret(`refreshed access token ${count}`), refresh_token: planted.secret(`rotated refresh token ${count}`), expires_in: 1 } };
  });
  system = createSystem({ DATABASE_URL: own.url, REDIS_URL: redis.url, VAULT_KEYS: `${old},${current}`, LOG_LEVEL: 'trace', RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000' });
  const started = await system.startAll();
  apps = Object.values(started);
  const key = await system.createKey();
  const call = apiOf(started.gateway, key.secret);
  api = async (...request): Promise<Answer> => {
    const answer = await call(...request);
    answers.push(answer.text);
    return answer;
  };
  releases = openReleases(system, key);
}, 60_000);
afterAll(async () => {
  await releases?.close();
  await system?.close();
  monitor?.disconnect();
  await endpoint?.close();
  await database?.$disconnect();
  await own?.close();
  await redis?.kill();
}, 60_000);

test('no secret is seen in Redis, in a log, in an answer or in a table, in any form', async () => {
  const { vault } = (await api('POST', '/v1/mcp/vaults', { name: 'V', metadata: { external_user_id: 'u' } })).body as { vault: { id: string } };
  const credentials = `/v1/mcp/vaults/${vault.id}/credentials`;
  const server = (host: string): string => `https://${host}.example.com/mcp`;
  const create = async (host: string, auth: object, more: object = {}): Promise<string> => {
    const answer = await api('POST', credentials, { serverUrl: server(host), auth, ...more });
    expect(answer.status).toBe(201);
    return (answer.body as { credential: { id: string } }).credential.id;
  };
  const oauth = (changes: object = {}): object => ({
    type: 'oauth',
    accessToken: planted.secret('access token'),
    refreshToken: planted.secret('refresh token'),
    clientId: planted.secret('client id'),
    clientSecret: planted.secret('client secret'),
    tokenEndpoint: endpoint.url,
    tokenEndpointAuth: 'client_secret_basic',
    expiresAt: '2020-01-01T00:00:00Z',
    ...changes,
  });

  // Secrets of every kind, where they belong.
  const bearer = await create('bearer', { type: 'bearer', token: planted.secret('bearer token') });
  await create('large', { type: 'bearer', token: `${planted.secret('large token')}${'x'.repeat(16_000)}` });
  await create('fresh', oauth({ expiresAt: '2100-01-01T00:00:00Z' }));
  await create('refreshed', oauth());
  await create('failing', oauth({ scope: 'refused' }));
  await create('away', oauth({ tokenEndpoint: 'http://127.0.0.1:1/token' }));
  const rotated = await create('patched', { type: 'bearer', token: planted.secret('first token') });
  expect((await api('PATCH', `${credentials}/${rotated}`, { auth: { type: 'bearer', token: planted.secret('second token') } })).status).toBe(200);
  const archived = await create('archived', { type: 'bearer', token: planted.secret('archived token') });

  // Where they do not belong, and are refused.
  const wrong: object[] = [
    { serverUrl: `https://u:${encodeURIComponent(planted.secret('password in a URL'))}@h.example/`, auth: { type: 'bearer', token: 't' } },
    { serverUrl: server('x'), auth: { type: planted.secret('type'), token: 't' } },
    { serverUrl: server('x'), auth: planted.secret('auth that is a text') },
    { serverUrl: server('x'), auth: { type: 'bearer', token: { value: planted.secret('token that is an object') } } },
    { serverUrl: server('x'), auth: { type: 'bearer', token: planted.secret('too long a token').repeat(1_000) } },
    { serverUrl: server('x'), auth: { type: 'oauth', refreshToken: planted.secret('lonely refresh token') } },
    { serverUrl: server('x'), auth: { type: 'oauth', accessToken: 'a', tokenEndpoint: `https://h.example/?${planted.secret('token endpoint').repeat(100)}`, expiresAt: planted.secret('time') } },
    { serverUrl: server('x'), auth: { type: 'oauth', refreshToken: 'r', clientId: 'c', tokenEndpoint: endpoint.url, tokenEndpointAuth: planted.secret('token endpoint auth') } },
    { serverUrl: server('x'), auth: { type: 'bearer', token: `${planted.secret('token that no header carries')}\ud800` } },
    { serverUrl: server('x'), auth: { type: 'bearer', token: 't' }, inject: { kind: 'header', header: planted.secret('header name') } },
  ];
  for (const body of wrong) expect((await api('POST', credentials, body)).status).toBe(400);
  expect((await api('POST', credentials, { serverUrl: server('bearer'), auth: { type: 'bearer', token: planted.secret('duplicate') } })).status).toBe(409);

  // Uses: every outcome of a release.
  const released = [];
  for (const host of ['bearer', 'large', 'fresh', 'refreshed', 'refreshed', 'failing', 'away', 'patched', 'none']) released.push(await releases.release([vault.id], server(host)));
  expect(released.map(({ outcome }) => outcome)).toEqual(['released', 'released', 'released', 'released', 'released', 'refused', 'refused', 'released', 'none']);
  await Promise.all(Array.from({ length: 100 }, () => releases.release([vault.id], server('bearer'))));

  // All that shows or changes them.
  for (const path of ['/v1/mcp/vaults', `/v1/mcp/vaults/${vault.id}`]) expect((await api('GET', path)).status).toBe(200);
  await api('DELETE', `${credentials}/${archived}`);
  await database.$executeRaw`UPDATE vault.credentials SET ciphertext = set_bit(ciphertext, 0, 1 - get_bit(ciphertext, 0)) WHERE id = ${rotated}::uuid`;
  expect((await api('GET', '/v1/mcp/vaults')).text).toContain('"unreadable":true');
  expect(await releases.release([vault.id], server('patched'))).toMatchObject({ outcome: 'refused' });
  await system.cli('vault', 'rotate-keys');
  for (const app of apps.filter(({ name }) => name === 'vault')) await app.stop();
  apps.push(await system.start('vault', { VAULT_KEYS: `${current},${old}` }));
  expect((await releases.release([vault.id], server('bearer'))).outcome).toBe('released');
  expect(JSON.parse(await system.cli('vault', 'rotate-keys', '--json'))).toMatchObject({ currentKeyId: 'new', secretsByKey: { new: expect.any(Number) } });
  await releases.report([vault.id], { credentialId: bearer, secretVersion: 1 }, 401);
  await eventually(async () => expect((await api('GET', '/v1/mcp/vaults')).text).toContain('The server answered 401'));

  const rows = JSON.stringify(await database.$queryRaw`SELECT to_jsonb(credentials) AS row FROM vault.credentials UNION ALL SELECT to_jsonb(vaults) FROM vault.vaults UNION ALL SELECT to_jsonb(audit_events) FROM vault.audit_events`);
  const logs = apps.flatMap(({ log }) => log).join('\n');
  for (const [where, text] of Object.entries({ redis: monitored.join('\n'), logs, answers: answers.join('\n'), rows })) {
    expect([where, text.length > 2_000]).toEqual([where, true]);
    expect([where, planted.in(text)]).toEqual([where, []]);
  }
  // The search itself finds what it looks for.
  const found = released.map(answer => (answer.outcome === 'released' ? answer.secret : ''));
  for (const encoding of ['utf8', 'hex', 'base64', 'base64url'] as const) expect(planted.in(Buffer.from(`x${found[0]}y`).toString(encoding))).toEqual(['bearer token']);
  expect(planted.in(encodeURIComponent(found[0] ?? ''))).toEqual(['bearer token']);
}, 120_000);
