import { spawn, spawnSync } from 'node:child_process';
import { sendSignal } from './process-identity.mjs';
import { root } from '../workspace.mjs';

const KEPT = 64 * 1024;
const running = new Set();

/** A command that ended badly: one sentence, and what it had printed last. */
export class CommandFailed extends Error {
  constructor(message, output) {
    super(message);
    this.output = output;
  }
}

/**
 * Runs a command quietly.
 *
 * @param {string[]} command
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs?: number, onOutput?: (text: string) => void }} options
 * @returns {Promise<string>} what it printed on stdout
 * @throws {CommandFailed} with the end of what it printed on both streams
 */
export function run([program, ...args], { cwd = root, env, timeoutMs = 600_000, onOutput } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
    running.add(child);
    let out = '';
    let all = '';
    const keep = chunk => {
      all = (all + chunk).slice(-KEPT);
      onOutput?.(String(chunk));
    };
    child.stdout.setEncoding('utf8').on('data', chunk => {
      out += chunk;
      keep(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', keep);
    child.once('error', error => {
      running.delete(child);
      reject(new CommandFailed(`${program} cannot be run: ${error.message}`, all));
    });
    child.once('close', (code, signalName) => {
      running.delete(child);
      if (code === 0) return resolve(out);
      const why = signalName ? `was ended by ${signalName}` : `ended with code ${code}`;
      reject(new CommandFailed(`${[program, ...args].join(' ').slice(0, 120)} ${why}`, all));
    });
  });
}

/** Runs one of our own or an installed script with this same Node. */
export const runNode = (args, options) => run([process.execPath, ...args], options);

/** Whether a program is there and can be run. @param {string} program */
export const works = program => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;

/** What is still being run goes when the tool is interrupted. */
export function endCommands() {
  for (const child of running) sendSignal(child.pid, 'SIGTERM');
}
