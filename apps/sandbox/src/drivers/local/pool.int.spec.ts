import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sandboxDriverConformance } from '../sandbox-driver.conformance.js';
import type { ExitReason, SandboxHandle, SandboxLimits, SandboxSpec } from '../sandbox.driver.js';
import * as attacks from '../testing/attacks.js';
import { expectNothingLeft, makeLocalNode, type LocalNode } from '../testing/local-node.js';
import { cgroupVersion } from './cgroups.js';
import { killAndWait } from './host-process.js';
import type { BoxMeta } from './layout.js';
import type { LocalDriver } from './local.driver.js';

const MIB = 1024 * 1024;
const LIMITS: SandboxLimits = { memoryBytes: 256 * MIB, cpuMillis: 1000, pids: 160, diskBytes: 64 * MIB };
const POOL = { size: 3, memoryBytes: 512 * MIB, first: { template: 'host', limits: LIMITS } };

const spec = (sandboxId: string, { generation = 1, env = {}, ...limits }: Partial<SandboxLimits> & Partial<Pick<SandboxSpec, 'generation' | 'env'>> = {}): SandboxSpec => ({
  sandboxId,
  generation,
  template: 'host',
  limits: { ...LIMITS, ...limits },
  env,
});

/** What lies on the disk about the containers of a node. */
const metas = (node: LocalNode): BoxMeta[] => {
  const boxes = join(node.options.runDir, 'boxes');
  return (existsSync(boxes) ? readdirSync(boxes) : []).flatMap(slot => {
    try {
      return [JSON.parse(readFileSync(join(boxes, slot, 'meta.json'), 'utf8')) as BoxMeta];
    } catch (_goneOrNotYet) {
      return [];
    }
  });
};
const poolSlots = (node: LocalNode): string[] => metas(node).filter(({ sandboxId }) => sandboxId === null).map(({ slot }) => slot);
const disksOf = (node: LocalNode): string[] => readdirSync(join(node.options.dataDir, 'disks')).filter(name => !name.startsWith('blank-')).sort();
const readySlots = (node: LocalNode): string[] => metas(node).filter(({ sandboxId, pid }) => sandboxId === null && pid !== undefined).map(({ slot }) => slot);

/** Every hold of every attack is tried again on sandboxes that were claimed. */
describe('claimed sandboxes', () => {
  const node = makeLocalNode();
  let driver: LocalDriver;
  let claimed = 0;

  sandboxDriverConformance('of the local driver', {
    open: async () => {
      driver = await node.open({ pool: { ...POOL, size: 4 } });
      const create = driver.create.bind(driver);
      driver.create = async (...args) => {
        const ready = poolSlots(node);
        const box = await create(...args);
        if (ready.includes(box.ref.slot)) claimed++;
        return box;
      };
      await driver.reconcile();
      driver.warmUp();
      await eventually(() => expect(readySlots(node)).toHaveLength(4));
      return driver;
    },
    directories: [node.options.dataDir, node.options.runDir],
    close: async () => {
      await driver.close();
      expect(claimed).toBeGreaterThan(5);
      expectNothingLeft(node);
      node.remove();
    },
  });
});

describe('the pool of the local driver', () => {
  let node: LocalNode;
  let driver: LocalDriver;

  const open = async (changes: Parameters<LocalNode['open']>[0] = {}) => {
    driver = await node.open({ pool: POOL, ...changes });
    await driver.reconcile();
    driver.warmUp();
  };
  const full = (size = POOL.size) => eventually(() => expect(readySlots(node)).toHaveLength(size), { deadlineMs: 20_000 });
  /** One that lay in the pool. */
  const claim = async (asked: SandboxSpec): Promise<SandboxHandle> => {
    await full();
    const ready = poolSlots(node);
    const box = await driver.create(asked);
    expect(ready).toContain(box.ref.slot);
    return box;
  };
  const ask = async (box: SandboxHandle, command: string) => (await box.exec({ command, timeoutMs: 20_000 })).stdout.toString().trim();
  const running = async () => {
    const ids: string[] = [];
    for await (const { sandboxId, state } of driver.list()) ids.push(`${sandboxId} ${state}`);
    return ids.sort();
  };

  beforeEach(() => {
    node = makeLocalNode();
  });

  afterEach(async () => {
    for await (const ref of driver.list()) await (await driver.attach(ref))?.destroy();
    await driver.close();
    expectNothingLeft(node);
    node.remove();
  }, 60_000);

  test('fills itself when it is told to and not before, unseen from outside, and ends with the driver', async () => {
    driver = await node.open({ pool: POOL });
    await driver.reconcile();
    expect((await driver.probe()).problems).toEqual([]);
    expect(poolSlots(node)).toEqual([]);
    driver.warmUp();
    await full();
    const ready = poolSlots(node).sort();
    expect(await running()).toEqual([]);
    expect(await driver.reconcile()).toEqual({ adopted: [], swept: [] });
    expect(poolSlots(node).sort()).toEqual(ready);
    await driver.close();
    expectNothingLeft(node);
    expect(disksOf(node)).toEqual([]);
  }, 30_000);

  test('gives a sandbox a disk of its own, which its next life starts from', async () => {
    await open();
    const box = await claim(spec('a'));
    expect(box.ref).toMatchObject({ sandboxId: 'a', generation: 1 });
    expect(metas(node).find(({ slot }) => slot === box.ref.slot)).toMatchObject({ sandboxId: 'a', generation: 1, pid: expect.any(Number) });
    expect(await ask(box, 'ls -A; echo kept > kept')).toBe('workspace');
    const uidBase = (JSON.parse(readFileSync(join(node.options.dataDir, 'disks/a.json'), 'utf8')) as BoxMeta).uidBase;
    await box.stop();
    const ready = poolSlots(node);
    const again = await driver.create(spec('a', { generation: 2 }));
    expect(ready).not.toContain(again.ref.slot);
    expect(await ask(again, 'cat kept')).toBe('kept');
    expect(metas(node).find(({ sandboxId }) => sandboxId === 'a')?.uidBase).toBe(uidBase);
    await again.destroy();
    await full();
    expect(disksOf(node).every(name => name.endsWith('.new.img'))).toBe(true);
    expect(new Set(metas(node).map(meta => meta.uidBase)).size).toBe(POOL.size);
  }, 30_000);

  describe('holds who claims as a start of its own would', () => {
    const inside = 'id; ulimit -a; env | grep -v "^GATEHOUSE_PROCESS_ID" | sort; grep -E "^(Cap|NoNewPrivs|Seccomp:|Groups)" /proc/self/status; cut -d" " -f5-6 /proc/self/mountinfo; cat /proc/self/oom_score_adj; ls -A / /dev /home/user /run/gatehouse-egress; df --output=size,itotal ~ /tmp /dev/shm';
    const V1 = ['memory/memory.limit_in_bytes', 'memory/memory.memsw.limit_in_bytes', 'cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us', 'cpu/cpu.shares', 'pids/pids.max', 'devices/devices.list'];
    const V2 = ['memory.max', 'memory.swap.max', 'cpu.max', 'pids.max', 'cmd/memory.max'];
    const limitsOf = ({ ref }: SandboxHandle) =>
      (cgroupVersion === 2 ? V2 : V1).map(file => {
        const [controller = '', name = ''] = cgroupVersion === 2 ? ['', file] : file.split('/');
        return `${file} ${readFileSync(join('/sys/fs/cgroup', controller, 'gatehouse', node.options.nodeId, ref.slot, name), 'utf8').trim()}`;
      });

    test.each<[string, Partial<SandboxLimits>]>([
      ['the limits it was made with', {}],
      ['less', { memoryBytes: 192 * MIB, cpuMillis: 250 }],
      ['more', { memoryBytes: 1024 * MIB, cpuMillis: 2000 }],
    ])('%s', async (_name, limits) => {
      await open();
      const env = { FROM_AGENT: 'yes' };
      const claimed = await claim(spec('claimed', { ...limits, env }));
      await driver.create(spec('cold', { ...limits, env })).then(box => box.stop());
      const cold = await driver.create(spec('cold', { ...limits, env, generation: 2 })); // its own disk: never from the pool
      expect(limitsOf(claimed)).toEqual(limitsOf(cold));
      const seen = await ask(claimed, inside);
      expect(seen).toContain('FROM_AGENT=yes');
      expect(seen).toBe(await ask(cold, inside));
    }, 30_000);

    test('a memory bomb dies at the limit that was given late, and cannot have what the box was made with', async () => {
      await open();
      const box = await claim(spec('small', { memoryBytes: 192 * MIB }));
      const before = await box.stats();
      expect(await box.exec({ command: attacks.eatMemory(220), timeoutMs: 20_000 })).toMatchObject({ signal: 'SIGKILL', timedOut: false });
      expect((await box.stats()).oomKills).toBeGreaterThan(before.oomKills);
      expect(await ask(box, 'echo alive')).toBe('alive');
      const large = await claim(spec('large', { memoryBytes: 512 * MIB }));
      const fits = await large.spawn({ run: { command: attacks.eatMemory(300) }, timeoutMs: 20_000 });
    await eventually(async () => expect((await large.stats()).memoryBytes).toBeGreaterThan(300 * MIB), { deadlineMs: 20_000 });
    expect((await large.stats()).oomKills).toBe(0);
    fits.kill();
    }, 40_000);
  });

  test('starts what it cannot give', async () => {
    await open();
    await full();
    const ready = poolSlots(node);
    for (const [name, limits] of Object.entries({ disk: { diskBytes: 128 * MIB }, pids: { pids: 200 }, tmpfs: { memoryBytes: 100 * MIB } })) {
      const box = await driver.create(spec(name, limits));
      expect(ready).not.toContain(box.ref.slot);
      expect(await ask(box, 'ulimit -u')).toBe(String({ ...LIMITS, ...limits }.pids - 64));
    }
  }, 30_000);

  test('gives a hundred that ask at once each a container of its own', async () => {
    await open({ startQueueTimeoutMs: 120_000 }); // however busy the machine is
    await full();
    const ready = poolSlots(node);
    const boxes = await Promise.all(Array.from({ length: 100 }, (_, index) => driver.create(spec(`s${index}`))));
    const slots = boxes.map(({ ref }) => ref.slot);
    expect(new Set(slots).size).toBe(100);
    expect(ready.filter(slot => slots.includes(slot))).toHaveLength(POOL.size);
    expect(await Promise.all(boxes.map(box => ask(box, 'echo $((40 + 2)) > own; cat own')))).toEqual(boxes.map(() => '42'));
    expect(new Set(metas(node).filter(({ sandboxId }) => sandboxId !== null).map(({ uidBase }) => uidBase)).size).toBe(100);
    expect(poolSlots(node)).toEqual([]); // the node is full
    await expect(driver.create(spec('one-more'))).rejects.toMatchObject({ kind: 'no-capacity' });
    await Promise.all(boxes.map(box => box.destroy()));
    await full();
  }, 180_000);

  test('never takes the room of a sandbox', async () => {
    await open({ maxSandboxes: 3 });
    await full();
    await driver.create(spec('other', { diskBytes: 128 * MIB }));
    await eventually(() => expect(metas(node).length).toBeLessThanOrEqual(3));
    await Promise.all([driver.create(spec('a')), driver.create(spec('b'))]);
    await eventually(() => expect(metas(node).map(({ sandboxId }) => sandboxId).sort()).toEqual(['a', 'b', 'other']));
    await expect(driver.create(spec('c'))).rejects.toMatchObject({ kind: 'no-capacity' });
    await (await driver.create(spec('a'))).destroy();
    await eventually(() => expect(readySlots(node)).toHaveLength(1));
  }, 30_000);

  test('a claim that nobody waits for any more leaves nothing, whenever that is', async () => {
    await open();
    let givenUp = 0;
    for (let turns = 0; turns < 24; turns++) {
      await full();
      const caller = new AbortController();
      const claiming = driver.create(spec(`left${turns}`), caller.signal).then(box => box.destroy().then(() => 'given'), (error: Error) => error.message);
      for (let turn = 0; turn < turns; turn++) await new Promise(resolve => setImmediate(resolve));
      caller.abort(new Error('the caller left'));
      const outcome = await claiming;
      if (outcome !== 'given') givenUp++;
      expect(['given', 'the caller left']).toContain(outcome);
      await driver.removeDisk(`left${turns}`);
    }
    expect(givenUp).toBeGreaterThan(2);
    expect(await running()).toEqual([]);
    await full();
    expect(disksOf(node).every(name => name.endsWith('.new.img'))).toBe(true);
  }, 60_000);

  test('two lives that are asked for at once are one container', async () => {
    await open();
    await full();
    const [first, same, second] = await Promise.all([driver.create(spec('twice')), driver.create(spec('twice')), driver.create(spec('twice', { generation: 2 }))]);
    expect(same).toBe(first);
    expect(await ask(second, 'echo alive')).toBe('alive');
    expect(metas(node).filter(({ sandboxId }) => sandboxId === 'twice').map(({ generation, slot }) => [generation, slot])).toEqual([[2, second.ref.slot]]);
  }, 30_000);

  test('gives no box that died in it, and makes others', async () => {
    await open();
    await full();
    const dead = metas(node).filter(({ sandboxId }) => sandboxId === null);
    await Promise.all(dead.map(({ pid = 0, startTicks = '' }) => killAndWait({ pid, startTicks }, 5_000)));
    const box = await driver.create(spec('a'));
    expect(dead.map(({ slot }) => slot)).not.toContain(box.ref.slot);
    expect(await ask(box, 'echo alive')).toBe('alive');
    await eventually(() => expect(readySlots(node).filter(slot => !dead.some(each => each.slot === slot))).toHaveLength(POOL.size), { deadlineMs: 20_000 });
    expect(node.log.lines.join('\n')).toContain('a sandbox ended in the pool');
    expect(dead.map(({ slot }) => slot).filter(slot => existsSync(join(node.options.runDir, 'boxes', slot)))).toEqual([]);
  }, 40_000);

  test('starts another one, unseen by the caller, where the agent of the first does not take its configuration', async () => {
    await open({ pool: { ...POOL, size: 1 } });
    await full(1);
    const [{ slot, pid: init } = { slot: '', pid: 0 }] = metas(node);
    const [agent = ''] = readFileSync(`/proc/${init}/task/${init}/children`, 'latin1').trim().split(' ');
    process.kill(Number(agent), 'SIGSTOP');
    const box = await driver.create(spec('a', { env: { FROM_AGENT: 'yes' } }));
    expect(box.ref.slot).not.toBe(slot);
    expect(await ask(box, 'echo $FROM_AGENT')).toBe('yes');
    expect(node.log.lines.join('\n')).toContain('warn a prepared sandbox could not be used; another one is started');
    expect(existsSync(join(node.options.runDir, 'boxes', slot))).toBe(false);
  }, 30_000);

  test('tells of the end of a box that was claimed as of any other', async () => {
    await open();
    const box = await claim(spec('killed'));
    const exited = new Promise<ExitReason>(resolve => box.onExit(resolve));
    const meta = metas(node).find(({ slot }) => slot === box.ref.slot);
    if (!meta?.pid || !meta.startTicks) throw new Error('the box has no pid');
    await killAndWait({ pid: meta.pid, startTicks: meta.startTicks }, 5_000);
    expect(await exited).toBe('crashed');
    expect(await driver.attach(box.ref)).toBeNull();
    expect((await ask(await driver.create(spec('killed', { generation: 2 })), 'echo alive'))).toBe('alive');
  }, 30_000);
});
