import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * A process id is reused; a process id together with the moment the process started is not. That moment is field 22
 * of /proc/<pid>/stat, in clock ticks since boot (proc(5)); the boot id keeps it from meaning something else after a
 * restart of the machine.
 *
 * @typedef {{ pid: number, started: string }} ProcessIdentity
 */

/** @returns {ProcessIdentity | undefined} undefined when no such process runs (a zombie does not run) */
export function identify(pid) {
  const started = process.platform === 'linux' ? startedLinux(pid) : startedElsewhere(pid);
  return started === undefined ? undefined : { pid, started };
}

/** @param {ProcessIdentity} identity */
export const isRunning = ({ pid, started }) => identify(pid)?.started === started;

/** Signals the process only while it is the recorded one. @param {ProcessIdentity} identity */
export function signal(identity, name) {
  if (!isRunning(identity)) return false;
  return sendSignal(identity.pid, name);
}

/** @returns {boolean} false when nobody was there any more */
export function sendSignal(pid, name) {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}

const bootId = process.platform === 'linux' ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8) : '';

function startedLinux(pid) {
  const [state, ...fields] = statFields(pid) ?? ['X'];
  return state === 'Z' || state === 'X' ? undefined : `${bootId}/${fields[18]}`;
}

/** Linux only. @returns {{ name: string, ppid: number } | undefined} */
export function nameAndParent(pid) {
  const fields = statFields(pid);
  return fields && { name: readFileSync(`/proc/${pid}/comm`, 'utf8').trim(), ppid: Number(fields[1]) };
}

/** From the third field on. The second is the program's name in brackets, and may itself hold spaces and brackets. */
function statFields(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
    throw error;
  }
}

function startedElsewhere(pid) {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() || undefined;
  } catch {
    return undefined;
  }
}
