import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Caller } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { eventually, expectError } from '@gatehouse/testing';
import type { LocalDriver } from '../drivers/local/local.driver.js';
import { expectNothingLeft, makeLocalNode } from '../drivers/testing/local-node.js';
import { assembleNode, call, definition, makeCaller, openTestDatabase, request, testKeyRing } from '../testing/test-node.js';

/** The rules around the driver are tested in memory; this is that both fit together. */
describe('sandboxes in real containers', () => {
  const local = makeLocalNode();
  const identity = { nodeId: local.options.nodeId, keyRing: testKeyRing() };
  const caller: Caller = makeCaller();
  let database: Database;
  let driver: LocalDriver;
  let node: ReturnType<typeof assembleNode>;

  const begin = async (): Promise<void> => {
    driver = await local.open();
    await driver.reconcile();
    node = assembleNode(database, driver, identity);
    await node.reconciling.run();
  };
  beforeAll(async () => {
    database = openTestDatabase();
    await begin();
    await node.agents.put(caller, definition('reviewer', { envs: { GREETING: 'hello' }, sandbox: { files: { 'a.txt': 'agent' }, setup: ['cat a.txt > seen.txt'] } }), call);
  });
  afterAll(async () => {
    await node.boxes.close({ stop: true });
    await driver.close();
    await database.$disconnect();
    local.remove();
  });

  const create = (body: object = {}) => node.sandboxes.create(caller, request({ agent: 'reviewer', ...body }), call);
  const exec = (id: string, command: string, body: object = {}) => node.sandboxes.exec(caller, { id, command, ...body });

  it('get their files, setup, variables and working directory', async () => {
    const { id } = await create({ files: { 'a.txt': 'request' }, envs: { WHO: 'world' } });
    expect(await exec(id, 'cat seen.txt; echo "$GREETING $WHO"; echo oops >&2; exit 3')).toEqual({ stdout: 'requesthello world\n', stderr: 'oops\n', exitCode: 3, truncated: false });
    expect(await exec(id, 'pwd', { cwd: 'workspace' })).toMatchObject({ stdout: '/home/user/workspace\n', exitCode: 0 });
    expect(await exec(id, 'kill -9 $$')).toMatchObject({ exitCode: 137 });
    expect(await exec(id, "printf '\\377'")).toMatchObject({ stdout: '\u{fffd}' });
    await node.sandboxes.delete(caller, { id });
  });

  it('refuse what the contract refuses', async () => {
    const { id } = await create();
    expect((await expectError(exec(id, 'true', { cwd: '/nowhere' }), 'not_found')).message).toBe('File not found');
    const timedOut = await expectError(exec(id, 'sleep 60', { timeoutMs: 100 }), 'sandbox_error');
    expect(timedOut.toEnvelope().error).toEqual({ code: 'sandbox_error', message: 'Command timed out after 100 ms', status: 500, timedOut: true });
    expect((await expectError(create({ setup: ['exit 7'] }), 'sandbox_error')).message).toBe('Setup command 2 exited with code 7');
    await node.sandboxes.delete(caller, { id });
  });

  it('keep their files while they are stopped', async () => {
    const { id } = await create();
    await exec(id, 'echo kept > kept.txt');
    node.timers.goOff();
    await eventually(async () => expect(await node.sandboxes.get(caller, { id })).toMatchObject({ status: 'stopped' }));
    expect(await Promise.all(Array.from({ length: 10 }, () => exec(id, 'cat kept.txt')))).toEqual(Array(10).fill({ stdout: 'kept\n', stderr: '', exitCode: 0, truncated: false }));
    await node.sandboxes.delete(caller, { id });
  });

  it('live on when the service is started again', async () => {
    const { id } = await create();
    await exec(id, 'echo $$ > /tmp/only-in-this-life');
    await node.boxes.close({ stop: false });
    await driver.close();
    await begin();
    expect(await exec(id, 'test -s /tmp/only-in-this-life')).toMatchObject({ exitCode: 0 });
    await node.sandboxes.delete(caller, { id });
  });

  it('leave nothing on the machine', async () => {
    await driver.close();
    expectNothingLeft(local);
    expect(await node.rows.removals()).toEqual([]);
  });
});
