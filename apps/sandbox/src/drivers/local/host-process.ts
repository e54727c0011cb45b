import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** A pid alone identifies nothing; with its start time it names one process of this boot. */
export interface ProcessIdentity {
  pid: number;
  startTicks: string;
}

/** Changes with every boot of the machine. */
export const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();

export async function identify(pid: number): Promise<ProcessIdentity | null> {
  const stat = await readStat(pid);
  return stat && stat.state !== 'Z' ? { pid, startTicks: stat.startTicks } : null;
}

/** False for zombies: nothing of them runs. */
export async function isAlive({ pid, startTicks }: ProcessIdentity): Promise<boolean> {
  return (await identify(pid))?.startTicks === startTicks;
}

/** SIGKILL, and wait until it is gone. @throws when it is still there at the deadline */
export async function killAndWait(process: ProcessIdentity, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 1; await isAlive(process); pauseMs = Math.min(pauseMs * 2, 20)) {
    sendKill(process.pid);
    if (performance.now() > deadline) throw new Error(`process ${process.pid} survives SIGKILL`);
    await delay(pauseMs);
  }
}

export function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Processes that were started with `name=value` in their environment. */
export async function findByEnvironment(name: string, value: string): Promise<ProcessIdentity[]> {
  const mark = `${name}=${value}`;
  const pids = (await readdir('/proc')).filter(entry => /^\d+$/.test(entry)).map(Number);
  const marked = await Promise.all(
    pids.map(async pid => {
      const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => ''); // ended, or not ours to read
      return environment.split('\0').includes(mark) ? identify(pid) : null;
    }),
  );
  return marked.filter(identity => identity !== null);
}

/** proc(5): the name in brackets may itself hold brackets and blanks, so the fields count from the last one. */
async function readStat(pid: number): Promise<{ state: string; startTicks: string } | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null); // ended
  if (stat === null) return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTicks: fields[19] ?? '' };
}
