import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Database } from '@gatehouse/database';
import { eventually, expectError } from '@gatehouse/testing';
import { DriverError } from '../drivers/driver-error.js';
import { makeNode, openTestDatabase, type TestNode } from '../testing/test-node.js';
import { gate, leftOn, NOTHING, makeTeam, type TestTeam } from '../testing/test-team.js';

describe('sandboxes', () => {
  let database: Database;
  let node: TestNode;
  let caller: TestTeam['caller'];
  let put: TestTeam['put'];
  let create: TestTeam['create'];
  let exec: TestTeam['exec'];
  let get: TestTeam['get'];
  let rowOf: TestTeam['rowOf'];
  let boxOf: TestTeam['boxOf'];
  beforeAll(() => {
    database = openTestDatabase();
  });
  afterAll(() => database.$disconnect());
  beforeEach(async () => {
    node = makeNode(database);
    ({ caller, put, create, exec, get, rowOf, boxOf } = await makeTeam(database, node));
  });

  describe('idle time', () => {
    it('stops a sandbox that nobody uses, and not before', async () => {
      const { id } = await create({ timeoutMs: 1_234 });
      expect(node.timers.delays).toEqual([1_234]);
      const release = gate();
      node.driver.onExec = async () => (await release.promise, {});
      const commands = [exec(id), exec(id)];
      await eventually(async () => expect((await boxOf(id)).commands).toHaveLength(2));
      expect(node.timers.delays).toEqual([]);
      release.open();
      await Promise.all(commands);
      expect(node.timers.delays).toEqual([1_234]);

      node.timers.goOff();
      await eventually(async () => expect(await get(id)).toMatchObject({ status: 'stopped', error: null }));
      expect([node.driver.boxes.size, node.driver.disks.size]).toEqual([0, 1]);
    });

    it('is that of the agent where the request gave none', async () => {
      await put('reviewer', { sandbox: { timeoutMs: 7_000 } });
      await create();
      expect(node.timers.delays).toEqual([7_000]);
    });
  });

  describe('a sandbox that does not run', () => {
    const stopped = async (): Promise<string> => {
      const { id } = await create();
      node.timers.goOff();
      await eventually(async () => expect(await get(id)).toMatchObject({ status: 'stopped' }));
      return id;
    };

    it('is started once by a hundred commands at once, on the same disk, in its next life', async () => {
      const id = await stopped();
      await Promise.all(Array.from({ length: 100 }, () => exec(id)));
      const { id: rowId } = await rowOf(id);
      expect(node.driver.starts).toMatchObject([{ sandboxId: rowId, generation: 1 }, { sandboxId: rowId, generation: 2 }]);
      expect((await boxOf(id)).commands).toHaveLength(100);
      expect(await get(id)).toMatchObject({ status: 'active' });
    });

    it('is started again after it was lost, and says why until then', async () => {
      for (const [why, error] of [['oom', 'The sandbox ran out of memory'], ['crashed', 'The sandbox ended unexpectedly'], ['lost', 'The sandbox no longer answers']] as const) {
        const { id } = await create();
        (await boxOf(id)).end(why);
        await eventually(async () => expect(await get(id)).toMatchObject({ status: 'error', error }));
        await exec(id);
        expect(await get(id)).toMatchObject({ status: 'active', error: null });
      }
    });

    it('is started even when the end of its box has not been written down yet', async () => {
      const { id } = await create();
      (await boxOf(id)).end('crashed');
      await exec(id);
      await eventually(async () => expect(await get(id)).toMatchObject({ status: 'active', error: null }));
    });

    it('is started for a call that comes while its box is ending, once that is over', async () => {
      const { id } = await create();
      const box = await boxOf(id);
      box.isRunning = false;
      const waiting = exec(id);
      await eventually(() => expect(node.driver.starts).toHaveLength(1));
      box.end('crashed');
      await waiting;
      expect(node.driver.starts).toHaveLength(2);
      expect(box.commands).toEqual([]);
    });

    it('that does not start fails all who wait, and is tried again by the next', async () => {
      const id = await stopped();
      node.driver.onStart = () => Promise.reject(new DriverError('no-capacity', 'full'));
      const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => exec(id)));
      for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'No sandbox capacity is available', status: 503 } });
      expect(await get(id)).toMatchObject({ status: 'error', error: 'The sandbox could not be started' });
      expect(node.driver.disks.size).toBe(1);
      node.driver.onStart = async () => undefined;
      await exec(id);
      expect(await get(id)).toMatchObject({ status: 'active', error: null });
    });

    it('is not started for a command that comes while it is deleted', async () => {
      const id = await stopped();
      const starting = gate();
      node.driver.onStart = async (_spec, signal) => {
        starting.open();
        await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
      };
      const waking = expectError(exec(id), 'not_found');
      await starting.promise;
      await node.sandboxes.delete(caller, { id });
      await waking;
      expect(await leftOn(node)).toEqual(NOTHING);
    });
  });
});
