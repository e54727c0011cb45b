import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as attacks from '../testing/attacks.js';
import { DockerEngine } from '../testing/docker-engine.js';
import { type DockerNode, makeDockerNode } from '../testing/docker-node.js';
import type { ExitReason, SandboxSpec } from '../sandbox.driver.js';
import type { DockerDriver } from './docker.driver.js';

const MIB = 1024 * 1024;
const missing = DockerEngine.missingBecause();

if (missing) describe('the life of a node on a Docker Engine', () => test.todo(`is tested where one can be started; here ${missing}`));
else describe('the life of a node on a Docker Engine that maps no ids', () => {
  let engine: DockerEngine;
  let image: string;
  let node: DockerNode;
  const opened: DockerDriver[] = [];

  const open = async (changes: Parameters<DockerNode['open']>[0] = {}) => {
    const driver = await node.open(changes);
    opened.push(driver);
    return driver;
  };
  const spec = (sandboxId: string, generation = 1, more: Partial<SandboxSpec> = {}): SandboxSpec =>
    ({ sandboxId, generation, template: image, limits: { memoryBytes: 256 * MIB, cpuMillis: 1000, pids: 160, diskBytes: 64 * MIB }, env: {}, ...more });
  const containers = async (driver: DockerDriver) => {
    const found = [];
    for await (const box of driver.list()) found.push(`${box.sandboxId} ${box.state}`);
    return found.sort();
  };

  beforeAll(async () => {
    engine = await DockerEngine.start({ remap: false });
    image = await engine.importDebian();
    node = makeDockerNode(engine, image);
  }, 60_000);

  afterEach(async () => {
    for (const driver of opened.splice(0)) await driver.close();
  });

  afterAll(async () => {
    const driver = await node.open();
    for (const { sandboxId } of (await driver.reconcile()).adopted) await driver.create(spec(sandboxId)).then(box => box.destroy(), () => undefined);
    await driver.close();
    await node.remove();
    await engine.stop();
  }, 60_000);

  test('a sandbox outlives its service: the next one adopts it, its processes and its kept output', async () => {
    const first = await open();
    await first.reconcile();
    const box = await first.create(spec('kept', 7));
    await box.files.write('mine', Buffer.from('still here'));
    const run = await box.spawn({ run: { command: 'for i in $(seq 1 200); do echo $i; sleep 0.005; done' }, keep: { id: 'run' } });
    const begun = String((await run.stdout[Symbol.asyncIterator]().next()).value);
    await first.close();

    const second = await open();
    expect(await second.reconcile()).toEqual({ adopted: [box.ref], swept: [] });
    const again = await second.attach(box.ref);
    if (!again) throw new Error('the sandbox was not adopted');
    expect(await second.create(spec('kept', 7))).toBe(again);
    const rest = await again.attach('run', { stdout: begun.length, stderr: 0 });
    const errors = text(rest.stderr);
    expect(begun + (await text(rest.stdout)) + (await errors)).toBe(Array.from({ length: 200 }, (_, index) => `${index + 1}\n`).join(''));
    const newer = await second.create(spec('kept', 8));
    expect((await newer.exec({ command: 'cat mine' })).stdout.toString()).toBe('still here');
    expect(await containers(second)).toEqual(['kept running']);
    await newer.destroy();
    expect(await containers(second)).toEqual([]);
  }, 60_000);

  test('what nobody answers for is removed: dead containers, half-made ones, and directories without one', async () => {
    const first = await open();
    const [dead, halfMade] = await Promise.all([first.create(spec('dead')), first.create(spec('other'))]);
    await first.close();
    const { options } = node;
    await engine.call('POST', `/containers/gatehouse-${options.nodeId}-${dead.ref.slot}/kill`);
    const stray = join(options.runDir, 'boxes', 'aaaaaaaaaaaa');
    mkdirSync(stray);
    const second = await open();
    const report = await second.reconcile();
    expect(report.adopted).toEqual([halfMade.ref]);
    expect(report.swept.sort()).toEqual(['aaaaaaaaaaaa', dead.ref.slot].sort());
    expect(readdirSync(join(options.runDir, 'boxes'))).toEqual([halfMade.ref.slot]);
    await (await second.attach(halfMade.ref))?.destroy();
    await second.removeDisk('dead');
  }, 60_000);

  test('a container left by a start of the same sandbox is cleared away before its home is given to another', async () => {
    const first = await open();
    const left = await first.create(spec('twice'));
    await left.files.write('mine', Buffer.from('kept'));
    await first.close();
    const second = await open(); // that was not asked to reconcile
    const box = await second.create(spec('twice', 2));
    expect((await box.exec({ command: 'cat mine' })).stdout.toString()).toBe('kept');
    expect(await engine.containers()).toHaveLength(1);
    await box.destroy();
  }, 60_000);

  test('tells why a sandbox ended', async () => {
    const driver = await open();
    await driver.reconcile();
    const ended = async (sandboxId: string, end: (slot: string) => Promise<unknown>, before?: string) => {
      const box = await driver.create(spec(sandboxId));
      if (before) expect(await box.exec({ command: before })).toMatchObject({ signal: 'SIGKILL' });
      const exited = new Promise<ExitReason>(resolve => box.onExit(resolve));
      const running = box.exec({ command: 'sleep 987' });
      running.catch(() => undefined); // asserted below
      await eventually(async () => expect(await box.processes()).toHaveLength(1));
      await end(box.ref.slot);
      await expect(running).rejects.toMatchObject({ kind: 'unavailable' });
      const why = await exited;
      await driver.removeDisk(sandboxId);
      return why;
    };
    const name = (slot: string) => `gatehouse-${node.options.nodeId}-${slot}`;
    expect(await ended('killed', slot => engine.call('POST', `/containers/${name(slot)}/kill`))).toBe('crashed');
    // What the kernel killed before has nothing to do with it.
    expect(await ended('killed-later', slot => engine.call('POST', `/containers/${name(slot)}/kill`), attacks.eatMemory(1_024))).toBe('crashed');
    expect(await ended('removed', slot => engine.call('DELETE', `/containers/${name(slot)}?force=true`))).toBe('crashed');
  }, 60_000);

  test('one node has one driver, and no more sandboxes than it may', async () => {
    const driver = await open({ maxSandboxes: 1 });
    await expect(node.open()).rejects.toMatchObject({ name: 'DriverError', kind: 'unavailable' });
    const box = await driver.create(spec('one'));
    await expect(driver.create(spec('two'))).rejects.toMatchObject({ kind: 'no-capacity' });
    await box.destroy();
  }, 30_000);

  test('an agent that never gets ready, or ends at once, leaves nothing', async () => {
    const driver = await open({ startTimeoutMs: 1_500, nodePath: '/usr/bin/sleep' });
    await expect(driver.create(spec('no-agent'))).rejects.toMatchObject({ kind: 'failed', cause: expect.objectContaining({ message: expect.stringContaining('the agent ended before it was ready') }) });
    await driver.removeDisk('no-agent');
    expect(await engine.containers()).toEqual([]);
  }, 30_000);

  describe('probe', () => {
    const problems = async (changes: Parameters<DockerNode['open']>[0]) => {
      const driver = await open(changes);
      const report = await driver.probe();
      await opened.pop()?.close();
      expect(report.ok).toBe(report.problems.length === 0);
      return report;
    };

    test('warns a developer of what it refuses in production: no ids of their own, no quota', async () => {
      const here = await problems({});
      expect(here).toMatchObject({ ok: true, isolation: 'namespace', warnings: [expect.stringContaining('userns-remap'), expect.stringContaining('no quota')] });
      expect([...here.features].sort()).toEqual(['cpu', 'memory', 'pause', 'pids', 'two-uids']);
      expect(await problems({ requireQuota: true, requireUserNamespace: true })).toMatchObject({ ok: false, problems: [expect.stringContaining('"userns-remap": "default"'), expect.stringContaining('SANDBOX_UNLIMITED_DISKS')], warnings: [] });
    }, 30_000);

    test.each<[string, Parameters<DockerNode['open']>[0], string]>([
      ['engine', { socketPath: '/nowhere/docker.sock' }, 'does not answer at /nowhere/docker.sock (ENOENT): apt-get install docker.io'],
      ['image', { image: 'no-such:1' }, 'no image "no-such:1": docker pull no-such:1'],
      ['image but the template of the local driver', { image: 'host' }, 'a template is an image'],
      ['runtime', { runtime: 'runsc' }, 'no runtime "runsc": name one of'],
      ['pid 1', { initPath: '/no/tini' }, 'apt-get install tini'],
      ['agent', { agentDir: '/no/agent' }, 'npm run build'],
    ])('says what mends it when there is no %s', async (_what, changes, mend) => {
      expect((await problems(changes)).problems.join('\n')).toContain(mend);
    }, 30_000);

    test('refuses an image with volumes, and so does every start', async () => {
      const withVolume = await engine.importDebian(['VOLUME /var/data']);
      expect((await problems({ image: withVolume })).problems).toEqual([expect.stringContaining('declares volumes (/var/data)')]);
      const driver = await open({ nodeId: `${node.options.nodeId}-v` });
      await expect(driver.create(spec('volume', 1, { template: withVolume }))).rejects.toMatchObject({ kind: 'failed' });
      await driver.removeDisk('volume');
    }, 60_000);
  });
});
