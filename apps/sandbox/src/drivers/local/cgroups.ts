import { existsSync, readdirSync } from 'node:fs';
import { chown, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { BoxStats } from '../sandbox.driver.js';
import { sendKill } from './host-process.js';

const ROOT = '/sys/fs/cgroup';
const SWEEP_TIMEOUT_MS = 5_000;
/** Cgroups a sandbox may make: each costs the host memory that no limit of the sandbox counts. */
const DESCENDANTS_MAX = 1_024;

/** One hierarchy with everything in it (v2), or a directory per controller (v1, hybrid). */
export const cgroupVersion = existsSync(join(ROOT, 'cgroup.controllers')) ? 2 : 1;

/** Limits of a container that may be changed while it runs. */
export interface ChangeableLimits {
  memoryBytes: number;
  cpuQuotaUsec: number;
  cpuPeriodUsec: number;
}

/**
 * The cgroups of this node's sandboxes. The runtime makes them; here they are read, given other limits, handed over, and
 * cleared away where the runtime forgot them.
 */
export class Cgroups {
  private readonly trees: string[];

  constructor(private readonly nodeId: string) {
    const hierarchies = cgroupVersion === 2 ? [ROOT] : readdirSync(ROOT, { withFileTypes: true }).filter(entry => entry.isDirectory()).map(entry => join(ROOT, entry.name));
    this.trees = hierarchies.map(hierarchy => join(hierarchy, 'gatehouse', nodeId));
  }

  /** The path the bundle names. */
  pathOf(slot: string): string {
    return `/gatehouse/${this.nodeId}/${slot}`;
  }

  /** @throws when the sandbox is gone */
  async stats(slot: string): Promise<BoxStats> {
    if (cgroupVersion === 2) {
      const at = join(ROOT, this.pathOf(slot));
      const [memory, cpu, pids, oomKills] = await Promise.all([count(at, 'memory.current'), field(at, 'cpu.stat', 'usage_usec'), count(at, 'pids.current'), this.oomKills(slot)]);
      return { memoryBytes: memory, cpuUsec: cpu, pids, oomKills };
    }
    const [memory, cpu, pids, oomKills] = await Promise.all([
      count(this.v1('memory', slot), 'memory.usage_in_bytes'),
      count(this.v1('cpuacct', slot), 'cpuacct.usage'),
      count(this.v1('pids', slot), 'pids.current'),
      this.oomKills(slot),
    ]);
    return { memoryBytes: memory, cpuUsec: Math.round(cpu / 1000), pids, oomKills };
  }

  async oomKills(slot: string): Promise<number> {
    return cgroupVersion === 2 ? field(join(ROOT, this.pathOf(slot)), 'memory.events', 'oom_kill') : field(this.v1('memory', slot), 'memory.oom_control', 'oom_kill');
  }

  /** Changes the limits of a container that runs. The period of the CPU quota stays what it was. */
  async limit(slot: string, from: ChangeableLimits, to: ChangeableLimits): Promise<void> {
    const change = (controller: string, file: string, value: number | string) => writeFile(join(cgroupVersion === 2 ? join(ROOT, this.pathOf(slot)) : this.v1(controller, slot), file), String(value), { flag: 'r+' });
    if (to.cpuQuotaUsec !== from.cpuQuotaUsec) await (cgroupVersion === 2 ? change('cpu', 'cpu.max', `${to.cpuQuotaUsec} ${to.cpuPeriodUsec}`) : change('cpu', 'cpu.cfs_quota_us', to.cpuQuotaUsec));
    if (to.memoryBytes === from.memoryBytes) return;
    if (cgroupVersion === 2) return change('memory', 'memory.max', to.memoryBytes); // swap is at 0, whatever the memory
    // Memory may never have a greater limit than memory and swap together.
    const files = ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'];
    for (const file of to.memoryBytes < from.memoryBytes ? files : files.reverse()) await change('memory', file, to.memoryBytes);
  }

  /** Hands the subtree to the sandbox's root, so that the agent can give every command a cgroup of its own (v2). */
  async delegate(slot: string, uid: number): Promise<void> {
    const at = join(ROOT, this.pathOf(slot));
    await writeFile(join(at, 'cgroup.max.descendants'), String(DESCENDANTS_MAX)); // stays ours, unlike what follows
    for (const name of ['', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control']) await chown(join(at, name), uid, uid);
  }

  /** A frozen process does not die before it thaws (v1). */
  async thaw(slot: string): Promise<void> {
    if (cgroupVersion === 1) await writeFile(join(this.v1('freezer', slot), 'freezer.state'), 'THAWED');
  }

  /** Slots that have a cgroup in any hierarchy. */
  async slots(): Promise<Set<string>> {
    const lists = await Promise.all(this.trees.map(children));
    return new Set(lists.flat());
  }

  /** Kills what is left in a slot's cgroups and removes them. @throws when something resists until the deadline */
  async sweep(slot: string): Promise<void> {
    await Promise.all(this.trees.map(tree => sweepTree(join(tree, slot))));
  }

  /** Removes this node's own level once no sandbox is left in it. */
  async removeEmptyTree(): Promise<void> {
    for (const tree of this.trees) await rmdir(tree).catch(ignoring('ENOENT', 'EBUSY', 'ENOTEMPTY'));
  }

  private v1(controller: string, slot: string): string {
    return join(ROOT, controller, this.pathOf(slot));
  }
}

async function sweepTree(cgroup: string): Promise<void> {
  const deadline = performance.now() + SWEEP_TIMEOUT_MS;
  for (const child of await children(cgroup)) await sweepTree(join(cgroup, child));
  while (existsSync(cgroup)) {
    await writeFile(join(cgroup, 'freezer.state'), 'THAWED', { flag: 'r+' }).catch(ignoring('ENOENT', 'ENODEV', 'EACCES', 'EPERM', 'EINVAL'));
    const pids = await readFile(join(cgroup, 'cgroup.procs'), 'latin1').catch(ignoring('ENOENT', 'ENODEV'));
    for (const pid of pids?.split('\n').filter(Boolean) ?? []) sendKill(Number(pid));
    const removed = await rmdir(cgroup).then(() => true, ignoring('EBUSY', 'ENOENT'));
    if (removed) return;
    if (performance.now() > deadline) throw new Error(`cgroup ${cgroup} cannot be removed`);
    await delay(5);
  }
}

async function children(cgroup: string): Promise<string[]> {
  const entries = await readdir(cgroup, { withFileTypes: true }).catch(ignoring('ENOENT'));
  return entries?.filter(entry => entry.isDirectory()).map(entry => entry.name) ?? [];
}

async function count(cgroup: string, file: string): Promise<number> {
  return Number(await readFile(join(cgroup, file), 'latin1'));
}

async function field(cgroup: string, file: string, name: string): Promise<number> {
  const line = (await readFile(join(cgroup, file), 'latin1')).split('\n').find(each => each.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1) ?? 0);
}

function ignoring(...codes: string[]): (error: NodeJS.ErrnoException) => undefined {
  return error => {
    if (!codes.includes(error.code ?? '')) throw error;
  };
}
