import { AgentClient } from '@21st-sdk/node';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AppProcess, createNodeDirectories, createSystem, eventually, randomUidBase, type System } from '@gatehouse/testing';
import { type Answer, type Api, apiOf } from './testing/api.js';

let system: System;
let gateway: AppProcess;
let first: AppProcess;
let secret: string;
let api: Api;
let sandboxId: string;
/** Of a node that does not hold the sandbox. */
const second = createNodeDirectories();

beforeAll(async () => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' });
  ({ gateway, sandbox: first } = await system.startAll());
  ({ secret } = await system.createKey());
  api = apiOf(gateway, secret);
  await api('PUT', '/v1/agents/demo', { model: 'scripted' });
  sandboxId = ((await api('POST', '/v1/sandboxes', { agent: 'demo', timeoutMs: 1_000 })).body as { id: string }).id;
}, 60_000);
afterAll(async () => {
  await system.close();
  second.remove();
}, 60_000);

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const threads = (rest = '', id = sandboxId): string => `/v1/sandboxes/${id}/threads${rest}`;
const create = async (body: unknown): Promise<{ id: string; name: string | null }> => {
  const { status, body: made } = await api('POST', threads(), body);
  expect(status).toBe(201);
  return made as { id: string; name: string | null };
};
const expectFailure = ({ status, body }: Answer, code: string, expected: number, message: string): void => {
  expect(body).toEqual({ error: { code, message, status: expected } });
  expect(status).toBe(expected);
};
const stopped = (): Promise<void> => eventually(async () => expect((await api('GET', `/v1/sandboxes/${sandboxId}`)).body).toMatchObject({ status: 'stopped' }));

test('the published client makes, lists, reads and deletes threads', async () => {
  const client = new AgentClient({ apiKey: secret, baseUrl: gateway.url });
  const named = await client.threads.create({ sandboxId, name: 'Say hello' });
  const plain = await client.threads.create({ sandboxId });
  expect(named).toEqual({ id: expect.stringMatching(UUID), name: 'Say hello', status: 'idle', externalUserId: null, createdAt: expect.stringMatching(DATE_TIME), updatedAt: expect.stringMatching(DATE_TIME) });
  expect(plain).toMatchObject({ name: null });
  expect(await client.threads.list({ sandboxId })).toEqual([plain, named]);
  expect((await client.sandboxes.get(sandboxId)).threads).toEqual([plain, named]);
  const usage = { inputTokens: 0, outputTokens: 0, totalTokens: 0, totalCostUsd: 0, durationMs: 0 };
  expect(await client.threads.get({ sandboxId, threadId: named.id })).toEqual({ ...named, messages: [], usage, error: null, completedAt: null });
  for (const { id: threadId } of [named, plain]) await client.threads.delete({ sandboxId, threadId });
  await expect(client.threads.get({ sandboxId, threadId: named.id })).rejects.toThrow('Thread not found');
  await expect(client.threads.delete({ sandboxId, threadId: named.id })).rejects.toThrow('Thread not found');
  expect(await client.threads.list({ sandboxId })).toEqual([]);
}, 60_000);

test('names and users are trimmed, and bounded after that', async () => {
  expect(await create({ name: `  ${'ü'.repeat(200)}  `, externalUserId: `\t${'u'.repeat(255)}\n` })).toMatchObject({ name: 'ü'.repeat(200), externalUserId: 'u'.repeat(255) });
  expect(await create({ name: '   ', externalUserId: '' })).toMatchObject({ name: null, externalUserId: null });
  expect(await create({ name: null, externalUserId: null, messages: ['ignored'] })).toMatchObject({ name: null, status: 'idle' });
  expect(await create(undefined)).toMatchObject({ name: null });
  expectFailure(await api('POST', threads(), { name: 'n'.repeat(201) }), 'validation_error', 400, 'name must have at most 200 characters');
  expectFailure(await api('POST', threads(), { name: 1, externalUserId: 'u'.repeat(256) }), 'validation_error', 400, 'name must be a string; externalUserId must have at most 255 characters');
  expectFailure(await api('POST', threads(), { name: 'a\0b' }), 'validation_error', 400, 'name must not contain NUL');
  expectFailure(await api('GET', threads('?agent=No%20Slug')), 'validation_error', 400, 'agent must have 1 to 100 characters of a-z, 0-9 and hyphen, with no hyphen first or last');
}, 60_000);

test('what is not there, or not yours, is answered alike', async () => {
  const { id } = await create({});
  const other = apiOf(gateway, (await system.createKey()).secret);
  const everyCall = (sandbox: string, thread: string): [string, string][] => [['GET', threads('', sandbox)], ['POST', threads('', sandbox)], ['GET', threads(`/${thread}`, sandbox)], ['DELETE', threads(`/${thread}`, sandbox)]];
  for (const [method, path] of everyCall('nobody', id)) expectFailure(await api(method, path, method === 'POST' ? {} : undefined), 'not_found', 404, 'Sandbox not found');
  for (const [method, path] of everyCall('a%00b', 'not-a-uuid')) expectFailure(await api(method, path, method === 'POST' ? {} : undefined), 'not_found', 404, 'Sandbox not found');
  for (const [method, path] of everyCall(sandboxId, id)) expectFailure(await other(method, path, method === 'POST' ? {} : undefined), 'not_found', 404, 'Sandbox not found');
  expectFailure(await api('GET', threads('?agent=other')), 'not_found', 404, 'Sandbox not found');
  const elsewhere = ((await api('POST', '/v1/sandboxes', { agent: 'demo' })).body as { id: string }).id;
  for (const method of ['GET', 'DELETE']) {
    for (const path of [threads(`/${id}`, elsewhere), threads('/not-a-uuid'), threads('/01956f0e-6a00-7b02-8f10-5f3f0a7d9c22')]) expectFailure(await api(method, path), 'not_found', 404, 'Thread not found');
  }
  await api('DELETE', `/v1/sandboxes/${elsewhere}`);
  expect((await api('GET', threads(`/${id.toUpperCase()}?agent=demo`))).body).toMatchObject({ id });
}, 60_000);

test('reading and writing have their scopes', async () => {
  const [reader, writer] = await Promise.all(['sandboxes:read', 'sandboxes:write'].map(async scope => apiOf(gateway, (await system.createKey('--scopes', scope)).secret)));
  const scopesOf: [string, string, Api | undefined, string][] = [
    ['GET', threads(), writer, 'sandboxes:read'],
    ['GET', threads('/x'), writer, 'sandboxes:read'],
    ['POST', threads(), reader, 'sandboxes:write'],
    ['DELETE', threads('/x'), reader, 'sandboxes:write'],
  ];
  for (const [method, path, call, scope] of scopesOf) expectFailure((await call?.(method, path)) as Answer, 'forbidden', 403, `Missing scope: ${scope}`);
}, 60_000);

test('a sandbox that stands still is not started for them', async () => {
  await stopped();
  const { id } = await create({ name: 'while it stands still' });
  expect((await api('GET', threads())).body).toContainEqual(expect.objectContaining({ id }));
  expect((await api('GET', threads(`/${id}`))).status).toBe(200);
  expect((await api('DELETE', threads(`/${id}`))).status).toBe(204);
  expect((await api('GET', `/v1/sandboxes/${sandboxId}`)).body).toMatchObject({ status: 'stopped' });
}, 60_000);

test('any node answers while the one that holds the sandbox is away', async () => {
  await stopped();
  await system.start('sandbox', { NODE_ID: `${system.namespace}-second`, SANDBOX_DATA_DIR: second.dataDir, SANDBOX_RUN_DIR: second.runDir, SANDBOX_UID_BASE: String(randomUidBase()) });
  await first.stop();
  expect((await api('POST', `/v1/sandboxes/${sandboxId}/exec`, { command: 'true' })).status).toBe(503);
  const { id } = await create({ name: 'while its node is away' });
  expect((await api('GET', threads())).body).toContainEqual(expect.objectContaining({ id }));
  expect((await api('GET', threads(`/${id}`))).body).toMatchObject({ id, messages: [] });
  expect((await api('DELETE', threads(`/${id}`))).status).toBe(204);
  first = await system.start('sandbox');
}, 60_000);

test('they go with their sandbox', async () => {
  const { id } = await create({});
  expect((await api('DELETE', `/v1/sandboxes/${sandboxId}`)).status).toBe(204);
  for (const path of [threads(), threads(`/${id}`)]) expectFailure(await api('GET', path), 'not_found', 404, 'Sandbox not found');
}, 60_000);
