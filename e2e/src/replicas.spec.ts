import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AppProcess, createNodeDirectories, createSystem, randomUidBase, type System } from '@gatehouse/testing';

let system: System;
let gateways: AppProcess[];
let headers: Record<string, string>;
const nodes = ['a', 'b'].map(name => ({ name, ...createNodeDirectories() }));

/** Two of everything; each sandbox process is a node with its own disks. */
beforeAll(async () => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000' });
  const { start, namespace } = system;
  await Promise.all([
    ...(['vault', 'budget', 'egress'] as const).flatMap(name => [start(name), start(name)]),
    ...nodes.map(async ({ name, runDir, dataDir }) => start('sandbox', { NODE_ID: `${namespace}-${name}`, SANDBOX_DATA_DIR: dataDir, SANDBOX_RUN_DIR: runDir, SANDBOX_UID_BASE: String(randomUidBase()) })),
  ]);
  gateways = await Promise.all([start('gateway'), start('gateway')]);
  const { secret } = await system.createKey();
  headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
}, 60_000);
afterAll(async () => {
  await system.close();
  for (const { remove } of nodes) remove();
}, 60_000);

const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
  const { url } = gateways[Math.floor(Math.random() * gateways.length)] as AppProcess;
  const answer = await fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  return { status: answer.status, body: answer.status === 204 ? null : await answer.json() };
};

test('each of 200 parallel writes is carried out exactly once', async () => {
  const answers = await Promise.all(Array.from({ length: 200 }, async () => call('PUT', '/v1/agents/counted', { model: 'scripted' })));
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(199);
  // Every accepted PUT makes the next version: carried out twice, the last number would be higher; lost, lower.
  expect((await call('GET', '/v1/agents/counted')).body).toMatchObject({ version: 200, latestVersion: 200 });
  expect(new Set(answers.map(({ body }) => (body as { version: number }).version)).size).toBe(200);
}, 60_000);

test('a request about a sandbox reaches the node that holds it, through either gateway', async () => {
  await call('PUT', '/v1/agents/demo', { model: 'scripted' });
  const made = await Promise.all(Array.from({ length: 8 }, async () => call('POST', '/v1/sandboxes', { agent: 'demo' })));
  const ids = made.map(({ body }) => (body as { id: string }).id);
  await Promise.all(ids.map(async id => call('POST', `/v1/sandboxes/${id}/exec`, { command: `echo ${id} > mine` })));
  // Were a command run by the other node, it would find another disk.
  const answers = await Promise.all(Array.from({ length: 80 }, async (_unused, index) => ({ id: ids[index % ids.length], ...(await call('POST', `/v1/sandboxes/${ids[index % ids.length]}/exec`, { command: 'cat mine' })) })));
  for (const { id, status, body } of answers) {
    expect(body).toEqual({ stdout: `${id}\n`, stderr: '', exitCode: 0, truncated: false });
    expect(status).toBe(200);
  }
  expect((await Promise.all(ids.map(async id => call('DELETE', `/v1/sandboxes/${id}`)))).map(({ status }) => status)).toEqual(ids.map(() => 204));
}, 60_000);
