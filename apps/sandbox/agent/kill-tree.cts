import { carryingMark, listProcesses, type ProcEntry } from './proc-table.cjs';

const GIVE_UP_MS = 5_000;

export interface TreeRoot {
  id: string;
  pid: number;
}

/**
 * SIGKILL to everything that came from a command, found by its session and group, by descent and by the mark in the
 * environment. A process that left the session and cleared its environment after its parent died is not found;
 * `killEverything` reaches that one too.
 */
export async function killTree(root: TreeRoot, own: () => ReadonlySet<number>): Promise<void> {
  await untilNone(() => {
    const members = membersOf(root, listProcesses(own()));
    // Stopped first, so that none forks while its siblings die.
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) for (const { pid } of members) send(pid, signal);
    return members.length;
  });
}

/** SIGKILL to all but pid 1 and the agent, in one system call the kernel makes atomic against forks. */
export async function killEverything(own: () => ReadonlySet<number>): Promise<void> {
  await untilNone(() => {
    send(-1, 'SIGKILL');
    return listProcesses(own()).length;
  });
}

function membersOf(root: TreeRoot, entries: readonly ProcEntry[]): ProcEntry[] {
  const known = new Set([root.pid]);
  const members = new Set<ProcEntry>();
  const adopt = (entry: ProcEntry) => {
    members.add(entry);
    known.add(entry.pid).add(entry.session).add(entry.group);
  };
  const belongs = ({ pid, parent, group, session }: ProcEntry) => [pid, parent, group, session].some(number => known.has(number));

  for (let before = -1; before !== members.size; ) {
    before = members.size;
    for (const entry of entries) if (!members.has(entry) && belongs(entry)) adopt(entry);
    if (before === members.size) for (const entry of carryingMark(entries.filter(each => !members.has(each)), root.id)) adopt(entry);
  }
  return [...members];
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function untilNone(round: () => number): Promise<void> {
  const deadline = performance.now() + GIVE_UP_MS;
  while (round() > 0) {
    if (performance.now() > deadline) throw new Error('processes remain after SIGKILL');
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}
