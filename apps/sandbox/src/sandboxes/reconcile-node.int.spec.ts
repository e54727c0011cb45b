import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type Caller, type SandboxStatus, uuidV4, uuidV7 } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { call, definition, makeCaller, makeNode, openTestDatabase, request, type TestNode } from '../testing/test-node.js';

describe('a node that comes back after a crash', () => {
  let database: Database;
  let before: TestNode;
  let caller: Caller;
  let agentId: string;
  beforeAll(() => {
    database = openTestDatabase();
  });
  afterAll(() => database.$disconnect());
  beforeEach(async () => {
    before = makeNode(database);
    caller = makeCaller();
    agentId = (await before.agents.put(caller, definition('reviewer', { sandbox: { timeoutMs: 9_000 } }), call)).agent.id;
  });

  /** The next process of the same node: the boxes live on, its memory is empty. */
  const comeBack = async (nowMs?: number): Promise<TestNode> => {
    const after = makeNode(database, { driver: before.driver, nodeId: before.nodeId, keyRing: before.keyRing });
    await after.reconciling.run(nowMs);
    return after;
  };
  const row = async (status: SandboxStatus, generation: number, nodeId = before.nodeId): Promise<string> => {
    const id = uuidV7();
    await database.sandbox.create({ data: { id, sandboxId: id, teamId: caller.teamId, agentId, agentVersion: 1, nodeId, status, generation, networkAllowOut: [], networkDenyOut: [] } });
    before.driver.disks.add(id);
    return id;
  };
  const statusOf = async (id: string): Promise<string> => (await database.sandbox.findUnique({ where: { id } }))?.status ?? 'gone';

  it('takes over what still runs, without starting it again', async () => {
    const { id } = await before.sandboxes.create(caller, request({ agent: 'reviewer' }), call);
    const after = await comeBack();
    await after.sandboxes.exec(caller, { id, command: 'true' });
    expect(after.driver.starts).toHaveLength(1);
    expect(after.timers.delays).toEqual([9_000]);
    const [box] = after.driver.boxes.values();
    box?.end('oom');
    await after.sandboxes.exec(caller, { id, command: 'true' });
    expect(after.driver.starts).toHaveLength(2);
  });

  it.each<[before: SandboxStatus, generation: number, boxGeneration: number | null, after: string, box: boolean, disk: boolean]>([
    ['active', 3, 3, 'active', true, true],
    ['active', 3, null, 'stopped', false, true],
    ['active', 3, 2, 'stopped', false, true],
    ['creating', 1, null, 'gone', false, false],
    ['creating', 1, 1, 'gone', false, false],
    ['creating', 4, null, 'stopped', false, true],
    ['creating', 4, 3, 'stopped', false, true],
    ['stopped', 2, 2, 'stopped', false, true],
    ['error', 2, null, 'error', false, true],
  ])('finds %s in life %i with a box of life %s: %s, box %s, disk %s', async (status, generation, boxGeneration, expected, box, disk) => {
    const id = await row(status, generation);
    if (boxGeneration !== null) before.driver.runs({ sandboxId: id, generation: boxGeneration });
    await comeBack();
    expect([await statusOf(id), before.driver.boxes.has(id), before.driver.disks.has(id)]).toEqual([expected, box, disk]);
    expect(await before.rows.removals()).toEqual([]);
  });

  it('frees disks that no row was there for whenever it looked, for a day, and no others', async () => {
    const [orphan, elsewhere, stopped, restored] = [uuidV7(), await row('stopped', 1, `node-${uuidV4()}`), await row('stopped', 1), uuidV7()];
    for (const id of [orphan, restored, 'probe']) before.driver.disks.add(id);
    const after = await comeBack(0);
    const HOUR = 3_600_000;
    await database.sandbox.create({ data: { id: restored, sandboxId: restored, teamId: caller.teamId, agentId, agentVersion: 1, nodeId: before.nodeId, status: 'stopped', generation: 1, networkAllowOut: [], networkDenyOut: [] } });
    await after.reconciling.run(12 * HOUR);
    await database.sandbox.delete({ where: { id: restored } });
    await after.reconciling.run(24 * HOUR - 1);
    expect(before.driver.disks.size).toBe(5);
    await after.reconciling.run(24 * HOUR);
    expect([...before.driver.disks].sort()).toEqual([elsewhere, stopped, restored].sort());
  });

  it('ends boxes that have no row, whatever they are called, and leaves their disks for a day', async () => {
    before.driver.runs({ sandboxId: uuidV4(), generation: 1 });
    before.driver.runs({ sandboxId: 'probe', generation: 0 });
    const after = await comeBack(0);
    expect([before.driver.boxes.size, before.driver.disks.size]).toEqual([0, 2]);
    await after.reconciling.run(86_400_000);
    expect(before.driver.disks.size).toBe(0);
  });

  it('finishes deletions that were cut short, its own and those another node noted', async () => {
    const ids = [await row('stopped', 1), await row('active', 1)];
    before.driver.runs({ sandboxId: ids[1] ?? '', generation: 1 });
    await makeNode(database).agents.delete(caller, { slug: 'reviewer' });
    expect(before.driver.disks.size).toBe(2);
    await comeBack();
    expect([before.driver.boxes.size, before.driver.disks.size, await before.rows.removals()]).toEqual([0, 0, []]);
  });

  it('leaves the sandboxes of other nodes alone', async () => {
    const id = await row('active', 1, 'another-node');
    await comeBack();
    expect(await statusOf(id)).toBe('active');
  });

  it('leaves alone what it is busy with: hundreds of sandboxes are made, used, stopped and deleted while it reconciles', async () => {
    const work = Array.from({ length: 60 }, async (_, index) => {
      const { id } = await before.sandboxes.create(caller, request({ agent: 'reviewer' }), call);
      await before.sandboxes.exec(caller, { id, command: 'true' });
      if (index % 3 === 0) before.timers.goOff();
      await before.sandboxes.exec(caller, { id, command: 'true' });
      if (index % 2 === 0) await before.sandboxes.delete(caller, { id });
    });
    const reconciliations = Array.from({ length: 10 }, () => before.reconciling.run());
    await Promise.all([...work, ...reconciliations]);
    await before.reconciling.run();
    const rows = await database.sandbox.findMany({ where: { nodeId: before.nodeId } });
    expect(rows).toHaveLength(30);
    expect([...before.driver.boxes.keys()].sort()).toEqual(rows.filter(({ status }) => status === 'active').map(({ id }) => id).sort());
    expect([...before.driver.disks].sort()).toEqual(rows.map(({ id }) => id).sort());
  });
});
