import { AgentClient } from '@21st-sdk/node';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AppProcess, createSystem, type System } from '@gatehouse/testing';

let system: System;
let gateway: AppProcess;
let secret: string;
let client: AgentClient;
beforeAll(async () => {
  system = createSystem();
  ({ gateway } = await system.startAll());
  ({ secret } = await system.createKey());
  client = new AgentClient({ apiKey: secret, baseUrl: gateway.url });
  const made = await fetch(`${gateway.url}/v1/agents/demo`, { method: 'PUT', headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, body: JSON.stringify({ model: 'scripted', envs: { GREETING: 'hello from the agent' } }) });
  expect(made.status).toBe(201);
}, 60_000);
afterAll(async () => system.close(), 60_000);

test('the published client makes a sandbox, runs commands in it and deletes it', async () => {
  const sandbox = await client.sandboxes.create({ agent: 'demo', files: { '/home/user/notes.txt': 'remember' }, envs: { EXTRA: '1' }, setup: ['echo made > made.txt'] });
  expect(sandbox).toEqual({ id: expect.any(String), sandboxId: sandbox.id, status: 'active', createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) });

  const { stdout, exitCode, stderr } = await client.sandboxes.exec({ sandboxId: sandbox.id, command: 'uname -a && id && echo $((6*7))' });
  expect(exitCode).toBe(0);
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^Linux sandbox /);
  expect(stdout).toContain('uid=1000(user) gid=1000(user)');
  expect(stdout.trimEnd().endsWith('\n42')).toBe(true);

  expect(await client.sandboxes.exec({ sandboxId: sandbox.id, command: 'echo out; echo err >&2; exit 3' })).toEqual({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, truncated: false });
  expect(await client.sandboxes.exec({ sandboxId: sandbox.id, command: 'cat notes.txt made.txt; echo "$GREETING/$EXTRA/$OWN"', envs: { OWN: '2' } })).toMatchObject({ stdout: 'remembermade\nhello from the agent/1/2\n' });

  expect(await client.sandboxes.get(sandbox.id)).toMatchObject({ id: sandbox.id, sandboxId: sandbox.id, status: 'active', error: null, agent: { slug: 'demo', name: 'demo' }, threads: [] });
  await client.sandboxes.delete(sandbox.id);
  await expect(client.sandboxes.get(sandbox.id)).rejects.toThrow('Sandbox not found');
  await expect(client.sandboxes.delete(sandbox.id)).rejects.toThrow('Sandbox not found');
}, 60_000);

test('the published client reads, writes, lists, moves and removes files', async () => {
  const { id: sandboxId } = await client.sandboxes.create({ agent: 'demo' });
  const { files } = client.sandboxes;
  await files.write({ sandboxId, files: { 'src/app.ts': 'export {};\n', '/home/user/workspace/grüße.txt': 'ü \u{1f600}' } });
  expect(await files.read({ sandboxId, path: 'src/app.ts' })).toEqual({ path: '/home/user/src/app.ts', content: 'export {};\n' });
  expect(await files.read({ sandboxId, path: 'workspace/grüße.txt' })).toEqual({ path: '/home/user/workspace/grüße.txt', content: 'ü \u{1f600}' });

  expect((await files.list({ sandboxId, path: '/home/user' })).map(({ path, type }) => [path, type])).toEqual([['/home/user/src', 'dir'], ['/home/user/workspace', 'dir']]);
  expect((await files.list({ sandboxId, path: '.', depth: 2 })).map(({ name }) => name)).toEqual(['src', 'app.ts', 'workspace', 'grüße.txt']);
  expect(await files.getInfo({ sandboxId, path: 'src/app.ts' })).toEqual({
    name: 'app.ts',
    path: '/home/user/src/app.ts',
    type: 'file',
    size: 11,
    mode: 0o644,
    permissions: '-rw-r--r--',
    owner: 'user',
    group: 'user',
    modifiedTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  });

  expect(await files.makeDir({ sandboxId, path: 'a/b' })).toBe(true);
  expect(await files.makeDir({ sandboxId, path: 'a/b' })).toBe(false);
  expect(await files.rename({ sandboxId, oldPath: 'src/app.ts', newPath: 'a/b/c/moved.ts' })).toMatchObject({ path: '/home/user/a/b/c/moved.ts', size: 11 });
  expect(await files.exists({ sandboxId, path: 'src/app.ts' })).toBe(false);
  expect(await files.exists({ sandboxId, path: 'a/b/c/moved.ts' })).toBe(true);
  expect(await files.remove({ sandboxId, path: 'a' })).toBeUndefined();
  expect(await files.exists({ sandboxId, path: 'a' })).toBe(false);
  await expect(files.read({ sandboxId, path: 'a' })).rejects.toThrow('File not found');
  await client.sandboxes.delete(sandboxId);
}, 60_000);

test('the published client opens threads, finds them and closes them', async () => {
  const { id: sandboxId } = await client.sandboxes.create({ agent: 'demo' });
  const first = await client.threads.create({ sandboxId, name: 'first' });
  const second = await client.threads.create({ sandboxId });
  expect(first).toMatchObject({ id: expect.any(String), name: 'first', status: 'idle' });
  expect(second).toMatchObject({ name: null, status: 'idle' });
  expect((await client.threads.list({ sandboxId })).map(({ id }) => id)).toEqual([second.id, first.id]);
  expect((await client.sandboxes.get(sandboxId)).threads.map(({ id }) => id)).toEqual([second.id, first.id]);
  expect(await client.threads.get({ sandboxId, threadId: first.id })).toMatchObject({
    ...first,
    messages: [],
    usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0, totalCostUsd: 0, durationMs: 0 },
    error: null,
    completedAt: null,
  });
  expect(await client.threads.delete({ sandboxId, threadId: first.id })).toBeUndefined();
  await expect(client.threads.get({ sandboxId, threadId: first.id })).rejects.toThrow('Thread not found');
  await client.sandboxes.delete(sandboxId);
}, 60_000);

test('its failures carry the words of the contract', async () => {
  await expect(client.sandboxes.create({ agent: 'nobody' })).rejects.toThrow('Agent not found');
  await expect(client.sandboxes.create({ agent: 'demo', setup: ['exit 7'] })).rejects.toThrow(/^Setup command 1 /);
  await expect(new AgentClient({ apiKey: 'wrong', baseUrl: gateway.url }).sandboxes.create({ agent: 'demo' })).rejects.toThrow('Invalid or missing API key');

  const answer = await fetch(`${gateway.url}/v1/sandboxes`, { method: 'POST', headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, body: '{"agent":"nobody"}' });
  expect(answer.status).toBe(404);
  expect(await answer.json()).toEqual({ error: { code: 'not_found', message: 'Agent not found', status: 404 } });
}, 60_000);
