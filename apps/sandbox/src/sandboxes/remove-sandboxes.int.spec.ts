import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Database } from '@gatehouse/database';
import { expectError } from '@gatehouse/testing';
import { DriverError } from '../drivers/driver-error.js';
import { makeNode, openTestDatabase, type TestNode } from '../testing/test-node.js';
import { gate, leftOn, NOTHING, makeTeam, type TestTeam } from '../testing/test-team.js';

describe('sandboxes', () => {
  let database: Database;
  let node: TestNode;
  let caller: TestTeam['caller'];
  let create: TestTeam['create'];
  let exec: TestTeam['exec'];
  let get: TestTeam['get'];
  beforeAll(() => {
    database = openTestDatabase();
  });
  afterAll(() => database.$disconnect());
  beforeEach(async () => {
    node = makeNode(database);
    ({ caller, create, exec, get } = await makeTeam(database, node));
  });

  describe('deletion', () => {
    it('frees box, disk and row; the second one finds nothing', async () => {
      const { id } = await create();
      await node.sandboxes.delete(caller, { id });
      expect(await leftOn(node)).toEqual(NOTHING);
      await expectError(node.sandboxes.delete(caller, { id }), 'not_found');
      await expectError(exec(id), 'not_found');
    });

    it('of hundreds at once, succeeds for exactly one', async () => {
      const { id } = await create();
      const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => node.sandboxes.delete(caller, { id })));
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'not_found', message: 'Sandbox not found' });
      expect(await leftOn(node)).toEqual(NOTHING);
    });

    it('ends a creation in progress', async () => {
      const started = gate();
      node.driver.onStart = async (_spec, signal) => {
        started.open();
        await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
      };
      const creation = expectError(create(), 'not_found');
      await started.promise;
      const [{ id } = { id: '' }] = (await node.sandboxes.list(caller, {})).items;
      await node.sandboxes.delete(caller, { id });
      expect((await creation).message).toBe('Sandbox not found');
      expect(await leftOn(node)).toEqual(NOTHING);
    });

    it('leaves nothing behind among hundreds of creations, commands and deletions at once', async () => {
      const ids = (await Promise.all(Array.from({ length: 40 }, () => create()))).map(({ id }) => id);
      const work = ids.flatMap(id => [exec(id), node.sandboxes.delete(caller, { id }), exec(id), node.sandboxes.delete(caller, { id }), create()]);
      for (const outcome of await Promise.allSettled(work)) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: expect.stringMatching(/^(not_found|sandbox_error)$/) });
      const left = (await node.sandboxes.list(caller, { limit: 100 })).items;
      expect(left).toHaveLength(40);
      await Promise.all(left.map(({ id }) => node.sandboxes.delete(caller, { id })));
      expect(await leftOn(node)).toEqual(NOTHING);
    });

    it('that cannot free the box is finished by the next sweep', async () => {
      const { id } = await create();
      node.driver.onEnd = () => Promise.reject(new DriverError('timed-out', 'It does not die'));
      await node.sandboxes.delete(caller, { id });
      await expectError(get(id), 'not_found');
      expect(await node.rows.removals()).toHaveLength(1);
      node.driver.onEnd = async () => undefined;
      await node.reconciling.run();
      expect(await leftOn(node)).toEqual(NOTHING);
    });
  });
});
