import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Database } from '@gatehouse/database';
import { HeldElsewhere } from '@gatehouse/rpc';
import {  } from '@gatehouse/testing';
import { DriverError } from '../drivers/driver-error.js';
import { makeNode, openTestDatabase, type TestNode } from '../testing/test-node.js';
import { makeTeam, type TestTeam } from '../testing/test-team.js';

describe('sandboxes', () => {
  let database: Database;
  let node: TestNode;
  let caller: TestTeam['caller'];
  let put: TestTeam['put'];
  let create: TestTeam['create'];
  let exec: TestTeam['exec'];
  let boxOf: TestTeam['boxOf'];
  beforeAll(() => {
    database = openTestDatabase();
  });
  afterAll(() => database.$disconnect());
  beforeEach(async () => {
    node = makeNode(database);
    ({ caller, put, create, exec, boxOf } = await makeTeam(database, node));
  });

  describe('commands', () => {
    it('get the envs of agent, sandbox and command, the narrowest winning', async () => {
      await put('reviewer', { envs: { A: 'agent', B: 'agent', C: 'agent' } });
      const { id } = await create({ envs: { B: 'sandbox', C: 'sandbox' } });
      await put('reviewer', { envs: { A: 'a later version' } });
      await exec(id, { command: 'env', envs: { C: 'command' } });
      expect((await boxOf(id)).commands).toEqual([{ command: 'env', cwd: '/home/user', env: { A: 'agent', B: 'sandbox', C: 'command' }, timeoutMs: 60_000, capBytes: 10_485_760 }]);
    });

    it('answer text, the exit code and whether anything was cut', async () => {
      const { id } = await create();
      node.driver.onExec = async () => ({ stdout: Buffer.from([0x68, 0x69, 0xff, 0x0a]), stderr: Buffer.from('ü'), exitCode: 137, truncated: true });
      expect(await exec(id, { cwd: 'a/../b', timeoutMs: 5 })).toEqual({ stdout: 'hi\u{fffd}\n', stderr: 'ü', exitCode: 137, truncated: true });
      expect((await boxOf(id)).commands).toMatchObject([{ cwd: '/home/user/b', timeoutMs: 5 }]);
    });

    it.each<[what: string, outcome: () => Promise<object>, envelope: object]>([
      ['run too long', async () => ({ timedOut: true }), { code: 'sandbox_error', message: 'Command timed out after 60000 ms', status: 500, timedOut: true }],
      ['have no such directory', () => Promise.reject(new DriverError('bad-cwd', 'no')), { code: 'not_found', message: 'File not found', status: 404 }],
      ['lose their sandbox', () => Promise.reject(new DriverError('unavailable', 'The sandbox went away')), { code: 'sandbox_error', message: 'The sandbox went away', status: 503, retryAfter: 5 }],
      ['cannot be run', () => Promise.reject(new DriverError('failed', 'The environment is too large')), { code: 'sandbox_error', message: 'The environment is too large', status: 500 }],
    ])('that %s fail as the contract says', async (_what, outcome, envelope) => {
      const { id } = await create();
      node.driver.onExec = outcome;
      await expect(exec(id)).rejects.toMatchObject({ code: expect.any(String) });
      expect(await exec(id).catch((error: { toEnvelope(): { error: object } }) => error.toEnvelope().error)).toEqual(envelope);
    });

    it('are sent to the node that holds the sandbox', async () => {
      const { id } = await create();
      const other = makeNode(database);
      for (const attempt of [() => other.sandboxes.exec(caller, { id, command: 'true' }), () => other.sandboxes.delete(caller, { id })]) {
        await expect(attempt()).rejects.toEqual(new HeldElsewhere(node.nodeId));
      }
      expect(await other.sandboxes.get(caller, { id })).toMatchObject({ id });
    });
  });
});
