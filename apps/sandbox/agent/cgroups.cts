import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';
const GIVE_UP_MS = 5_000;

/**
 * The sandbox's own cgroup subtree (cgroup v2, handed to the sandbox's root by the service): the agent in one branch,
 * every command in a leaf of the other. A leaf can be killed as a whole, whatever its processes did to hide, and the
 * memory limit of the commands' branch leaves the agent alone.
 */
export class CgroupTree {
  /** @throws when the subtree was not delegated */
  constructor(commandMemoryBytes: number) {
    for (const branch of ['agent', 'cmd']) mkdirSync(`${ROOT}/${branch}`, { recursive: true });
    // A cgroup may have processes or controlled children, not both: move everyone out first.
    for (const pid of pidsOf(ROOT)) moveInto('agent', pid);
    writeFileSync(`${ROOT}/cgroup.subtree_control`, '+memory +pids');
    writeFileSync(`${ROOT}/cmd/memory.max`, String(commandMemoryBytes));
    if (existsSync(`${ROOT}/cmd/memory.swap.max`)) writeFileSync(`${ROOT}/cmd/memory.swap.max`, '0');
  }

  /** Children that were forked before the move stayed with the agent; they belong to the command as well. */
  place(id: string, pid: number, own: ReadonlySet<number>): void {
    mkdirSync(`${ROOT}/cmd/${id}`, { recursive: true });
    moveInto(`cmd/${id}`, pid);
    for (const stray of pidsOf(`${ROOT}/agent`)) if (!own.has(stray)) moveInto(`cmd/${id}`, stray);
  }

  async kill(id: string): Promise<void> {
    const leaf = `${ROOT}/cmd/${id}`;
    const deadline = performance.now() + GIVE_UP_MS;
    while (pidsOf(leaf).length > 0) {
      writeFileSync(`${leaf}/cgroup.kill`, '1');
      if (performance.now() > deadline) throw new Error('processes remain after cgroup.kill');
      await delay(2);
    }
  }

  /** Removes the leaf unless background processes still live in it. */
  forget(id: string): void {
    if (existsSync(`${ROOT}/cmd/${id}`) && pidsOf(`${ROOT}/cmd/${id}`).length === 0) rmdirSync(`${ROOT}/cmd/${id}`);
  }
}

function pidsOf(cgroup: string): number[] {
  try {
    return readFileSync(`${cgroup}/cgroup.procs`, 'latin1').split('\n').filter(Boolean).map(Number);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function moveInto(branch: string, pid: number): void {
  try {
    writeFileSync(`${ROOT}/${branch}/cgroup.procs`, String(pid));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // ended meanwhile
  }
}
