import { readdirSync, readFileSync } from 'node:fs';
import { asUser } from './as-user.cjs';

/** The environment variable every command carries, and its children unless they clear it. */
export const PROCESS_MARK = 'GATEHOUSE_PROCESS_ID';

export interface ProcEntry {
  pid: number;
  parent: number;
  group: number;
  session: number;
}

/** Every living process of the sandbox but the given ones; zombies do not live. */
export function listProcesses(except: ReadonlySet<number>): ProcEntry[] {
  return pids(except).map(readEntry).filter(entry => entry !== undefined);
}

export function anyProcess(except: ReadonlySet<number>): boolean {
  return pids(except).some(pid => readEntry(pid) !== undefined);
}

function pids(except: ReadonlySet<number>): number[] {
  return readdirSync('/proc').map(Number).filter(pid => pid > 0 && !except.has(pid));
}

/** proc(5): the second field is a name in brackets that may itself hold brackets and blanks, so parse from the last one. */
function readEntry(pid: number): ProcEntry | undefined {
  const stat = readOrNothing(`/proc/${pid}/stat`);
  const [state, parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (!state || state === 'Z' || state === 'X') return undefined;
  return { pid, parent: Number(parent), group: Number(group), session: Number(session) };
}

/** The given processes whose first environment holds the mark of command `id`. Only their own user may read it. */
export function carryingMark(entries: readonly ProcEntry[], id: string): ProcEntry[] {
  if (entries.length === 0) return [];
  const mark = `${PROCESS_MARK}=${id}`;
  return asUser(() => entries.filter(({ pid }) => readOrNothing(`/proc/${pid}/environ`).split('\0').includes(mark)));
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (_gone) {
    return '';
  }
}
