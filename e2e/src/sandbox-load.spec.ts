import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AppProcess, boxesOf, countsOf, createSystem, descriptorsOf, eventually, type System, tracesOf } from '@gatehouse/testing';
import { type Api, apiOf } from './testing/api.js';

const COUNT = 100;
const POOL_SIZE = 2;

let system: System;
let sandbox: AppProcess;
let gateway: AppProcess;
let api: Api;
beforeAll(async () => {
  const limits = { RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' };
  system = createSystem({ ...limits, SANDBOXES_MAX: String(COUNT), SANDBOX_POOL_SIZE: String(POOL_SIZE), SANDBOX_MEMORY_MB: '128', SANDBOX_DISK_MB: '256' });
  ({ sandbox, gateway } = await system.startAll());
  api = apiOf(gateway, (await system.createKey()).secret);
  expect((await api('PUT', '/v1/agents/demo', { model: 'scripted' })).status).toBe(201);
}, 60_000);
afterAll(async () => system.close(), 60_000);

const create = async (): Promise<string> => {
  const answer = await api('POST', '/v1/sandboxes', { agent: 'demo' });
  expect(answer).toMatchObject({ status: 201 });
  return (answer.body as { id: string }).id;
};
const remove = async (id: string): Promise<void> => expect(await api('DELETE', `/v1/sandboxes/${id}`)).toMatchObject({ status: 204 });
const counts = (): object => countsOf(tracesOf(system));

test('a hundred sandboxes at once each run a command, and when they are deleted nothing of them is left', async () => {
  await remove(await create());
  await eventually(() => expect(boxesOf(system)).toHaveLength(POOL_SIZE));
  const before = counts();
  const descriptors = descriptorsOf(sandbox);

  const ids = await Promise.all(Array.from({ length: COUNT }, create));
  expect(new Set(ids).size).toBe(COUNT);
  const outputs = await Promise.all(ids.map(async id => api('POST', `/v1/sandboxes/${id}/exec`, { command: `echo ${id} > own; cat own; ls | wc -l` })));
  expect(outputs.map(({ body }) => (body as { stdout: string }).stdout)).toEqual(ids.map(id => `${id}\n2\n`));
  expect(boxesOf(system).length).toBeGreaterThanOrEqual(COUNT);
  await Promise.all(ids.map(remove));

  await eventually(() => expect(counts()).toEqual(before), { deadlineMs: 30_000 });
  await eventually(() => expect(descriptorsOf(sandbox)['file']).toBeLessThanOrEqual((descriptors['file'] ?? 0) + 2), { deadlineMs: 30_000 });
  expect(await api('GET', '/v1/sandboxes')).toMatchObject({ body: { sandboxes: [], nextCursor: null } });
}, 120_000);
