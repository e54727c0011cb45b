import { ConfigError } from './config.js';
import type { Logger } from './logger.js';

/** How long a process may take to finish what it has before it ends all the same. */
const SHUTDOWN_DEADLINE_MS = 25_000;

/**
 * A process's life: starts, and ends in order on SIGTERM and SIGINT (code 0). A configuration that cannot be used is
 * told in plain words; any other failure to start, or a fault nobody caught, is logged and ends with code 1.
 */
export const runProcess = async (logger: () => Logger | undefined, start: () => Promise<{ close(): Promise<unknown> }>): Promise<void> => {
  const die = (err: unknown, message: string): void => {
    const log = logger();
    if (err instanceof ConfigError || log === undefined) process.stderr.write(`${err instanceof Error ? err.message : String(err)}\n`);
    else log.fatal({ err }, message);
    process.exit(1);
  };
  process.on('uncaughtException', err => die(err, 'a fault nobody caught'));
  process.on('unhandledRejection', err => die(err, 'a rejection nobody handled'));

  const starting = start();
  let stopping = false;
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => die(new Error(`Not done ${SHUTDOWN_DEADLINE_MS} ms after ${signal}`), 'shutdown took too long'), SHUTDOWN_DEADLINE_MS).unref();
    await (await starting).close();
    logger()?.info({ signal }, 'stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal).catch((err: unknown) => die(err, 'shutdown failed')));
  try {
    await starting;
  } catch (err) {
    die(err, 'start failed');
  }
};
