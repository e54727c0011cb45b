import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const GIVE_UP_MS = 5_000;

/**
 * The sandbox's own cgroup subtree (cgroup v2, handed to the sandbox's root by the service): the agent in one branch,
 * every command in a leaf of the other. A leaf can be killed as a whole, whatever its processes did to hide, and the
 * memory limit of the commands' branch leaves the agent alone.
 */
export class CgroupTree {
  /** @throws when the subtree was not delegated */
  constructor(
    commandMemoryBytes: number,
    private readonly root = '/sys/fs/cgroup',
  ) {
    for (const branch of ['agent', 'cmd']) mkdirSync(`${this.root}/${branch}`, { recursive: true });
    // A cgroup may have processes or controlled children, not both: move everyone out first.
    for (const pid of pidsOf(this.root)) this.moveInto('agent', pid);
    writeFileSync(`${this.root}/cgroup.subtree_control`, '+memory +pids');
    writeFileSync(`${this.root}/cmd/memory.max`, String(commandMemoryBytes));
    if (existsSync(`${this.root}/cmd/memory.swap.max`)) writeFileSync(`${this.root}/cmd/memory.swap.max`, '0');
  }

  /** Children that were forked before the move stayed with the agent; they belong to the command as well. */
  place(id: string, pid: number, own: ReadonlySet<number>): void {
    this.removeEmptyLeaves();
    mkdirSync(`${this.root}/cmd/${id}`, { recursive: true });
    this.moveInto(`cmd/${id}`, pid);
    for (const stray of pidsOf(`${this.root}/agent`)) if (!own.has(stray)) this.moveInto(`cmd/${id}`, stray);
  }

  async kill(id: string): Promise<void> {
    const leaf = `${this.root}/cmd/${id}`;
    const deadline = performance.now() + GIVE_UP_MS;
    while (pidsOf(leaf).length > 0) {
      writeFileSync(`${leaf}/cgroup.kill`, '1');
      if (performance.now() > deadline) throw new Error('processes remain after cgroup.kill');
      await delay(2);
    }
  }

  /**
   * Removes the leaves nobody lives in. One with background processes outlives its command, and goes once they are gone:
   * hence all of them, with every start and every end.
   */
  removeEmptyLeaves(): void {
    const leaves = readdirSync(`${this.root}/cmd`, { withFileTypes: true }).filter(entry => entry.isDirectory());
    for (const { name } of leaves) removeUnlessOccupied(`${this.root}/cmd/${name}`);
  }

  private moveInto(branch: string, pid: number): void {
    try {
      writeFileSync(`${this.root}/${branch}/cgroup.procs`, String(pid));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // ended meanwhile
    }
  }
}

/** Never throws: EBUSY is the answer of an occupied one, and whatever else it may be, no command fails for it. */
function removeUnlessOccupied(leaf: string): void {
  try {
    rmdirSync(leaf);
  } catch (_remains) {
    // The next call tries again.
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
