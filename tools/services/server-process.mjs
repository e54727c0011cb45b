import { closeSync, openSync, readFileSync } from 'node:fs';
import { CommandFailed } from '../processes/commands.mjs';
import { hasEnded } from '../processes/children.mjs';
import { until } from '../until.mjs';

/**
 * Starts a server that writes to a log file and waits for the line with which it says that it listens. A file and not
 * a pipe: the server must not feel it when the process that started it is gone, and must not keep that one alive.
 *
 * @param {import('../processes/children.mjs').Children} children
 * @param {{ name: string, command: string[], log: string, readyLine: string, deadlineMs?: number } & Parameters<import('../processes/children.mjs').Children['spawn']>[2]} server
 */
export async function startServer(children, { name, command, log, readyLine, deadlineMs = 30_000, ...options }) {
  const output = openSync(log, 'w');
  const child = children.spawn(name, command, { stdio: ['ignore', output, output], ...options });
  closeSync(output);
  child.unref();
  let failure;
  child.once('error', error => (failure = error));
  const printed = () => readFileSync(log, 'utf8');
  await until(() => failure || hasEnded(child) || printed().includes(readyLine), { deadlineMs, everyMs: 10 });
  if (!failure && !hasEnded(child) && printed().includes(readyLine)) return;
  await children.stop(child, { deadlineMs: 2_000 });
  throw new CommandFailed(`${name} did not start${failure ? `: ${failure.message}` : ''}`, printed().slice(-4_000));
}
