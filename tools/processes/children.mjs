import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { identify, isRunning, sendSignal, signal } from './process-identity.mjs';
import { until } from '../until.mjs';

/**
 * Processes that must not outlive the one that started them, whatever ends it:
 * - a normal end stops them (`close`),
 * - `kill -9` of the parent makes the kernel signal them (PR_SET_PDEATHSIG, through setpriv where it exists),
 * - and they stand in a record, from which the next start ends what is still there (`endLeftovers`).
 *
 * @typedef {import('./process-identity.mjs').ProcessIdentity & { name: string, stopSignal: NodeJS.Signals }} Recorded
 */
export class Children {
  /** @type {Map<import('node:child_process').ChildProcess, Recorded>} */
  #running = new Map();
  #recordFile;
  #closed = false;

  /** @param {string} recordFile */
  constructor(recordFile) {
    this.#recordFile = recordFile;
  }

  /**
   * @param {string} name
   * @param {string[]} command program and arguments
   * @param {{ wrapper?: string[], stopSignal?: NodeJS.Signals } & import('node:child_process').SpawnOptions} options
   *   `wrapper` is a command that ends in exec, such as unshare; the death signal is asked for inside it, because the
   *   kernel forgets one when credentials change (prctl(2)).
   */
  spawn(name, command, { wrapper = [], stopSignal = 'SIGTERM', ...options } = {}) {
    if (this.#closed) throw new Error(`${name} is not started any more: everything is being stopped`);
    const [program, ...args] = [...wrapper, ...deathSignal(stopSignal), ...command];
    // Its own process group: Ctrl-C reaches only the parent, which then stops its children in order.
    const child = spawn(program, args, { detached: true, ...options });
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity) {
      this.#running.set(child, { ...identity, name, stopSignal });
      this.#record();
    }
    child.once('exit', () => this.#running.delete(child) && this.#record());
    return child;
  }

  /** Asks the child to stop, and kills it with what it started when it has not by the deadline. */
  async stop(child, { deadlineMs = 10_000 } = {}) {
    if (child.pid === undefined || hasEnded(child)) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill(this.#running.get(child)?.stopSignal ?? 'SIGTERM');
    const timer = setTimeout(() => hasEnded(child) || sendSignal(-child.pid, 'SIGKILL'), deadlineMs);
    await ended;
    clearTimeout(timer);
  }

  /** Stops what still runs, and starts nothing from here on. */
  async close() {
    this.#closed = true;
    await Promise.all([...this.#running.keys()].map(child => this.stop(child)));
  }

  /** For a second Ctrl-C. */
  killAll() {
    this.#closed = true;
    for (const { pid } of this.#running.values()) sendSignal(-pid, 'SIGKILL');
  }

  #record() {
    if (this.#running.size === 0) return rmSync(this.#recordFile, { force: true });
    mkdirSync(dirname(this.#recordFile), { recursive: true });
    const next = `${this.#recordFile}.next`;
    writeFileSync(next, JSON.stringify([...this.#running.values()], null, 2), { mode: 0o600 });
    renameSync(next, this.#recordFile);
  }
}

/**
 * Ends the children an earlier process left behind. A process id that by now belongs to somebody else is left alone.
 *
 * @param {string} recordFile
 * @returns {Promise<string[]>} the names of those that were still there
 */
export async function endLeftovers(recordFile, { deadlineMs = 5_000 } = {}) {
  const left = readRecord(recordFile).filter(isRunning);
  for (const recorded of left) signal(recorded, recorded.stopSignal);
  await until(() => !left.some(isRunning), { deadlineMs });
  // A leader that is verified alive still owns its group id, so its own children go with it.
  for (const recorded of left) if (isRunning(recorded)) sendSignal(-recorded.pid, 'SIGKILL');
  if ((await until(() => !left.some(isRunning), { deadlineMs: 5_000 })) === undefined) {
    throw new Error(`Cannot end what an earlier start left behind: ${left.filter(isRunning).map(({ name, pid }) => `${name} (pid ${pid})`).join(', ')}`);
  }
  rmSync(recordFile, { force: true });
  return left.map(({ name }) => name);
}

/** @returns {Recorded[]} */
function readRecord(recordFile) {
  try {
    return JSON.parse(readFileSync(recordFile, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw new Error(`${recordFile} cannot be read; delete it once no Gatehouse process of this folder runs.`, { cause: error });
  }
}

export const hasEnded = child => child.exitCode !== null || child.signalCode !== null;

let setprivWorks;

function deathSignal(name) {
  setprivWorks ??= process.platform === 'linux' && spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'ignore' }).status === 0;
  return setprivWorks ? ['setpriv', '--pdeathsig', name.replace(/^SIG/, '')] : [];
}
