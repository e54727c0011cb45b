import './node-version.mjs';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, runNode } from './processes/commands.mjs';
import { clientIsCurrent } from './generate-client.mjs';
import { acquireLock } from './processes/lock.mjs';
import { printFailure, step } from './progress.mjs';
import { isMain, root } from './workspace.mjs';
import { until } from './until.mjs';

const INSTALL_DEADLINE_MS = 15 * 60_000;

/**
 * Brings a fresh clone to the point where everything can run: dependencies installed, database client generated. Needs
 * nothing but Node, and costs some milliseconds when there is nothing to do. Two at once take turns.
 */
export async function setup() {
  if (isInstalled() && clientIsCurrent()) return;
  const release = await until(() => acquireLock('setup'), { deadlineMs: INSTALL_DEADLINE_MS, everyMs: 250 });
  if (!release) throw new Error('Another set-up of this folder has not finished for a long time; end it and try again.');
  try {
    if (!isInstalled()) await step('Dependencies installed', install);
    if (!clientIsCurrent()) await step('Database client generated', () => runNode(['tools/generate-client.mjs']));
  } finally {
    await release();
  }
}

/**
 * npm writes node_modules/.package-lock.json when an install has finished; compared with package-lock.json it tells
 * what is missing or of another version, whoever installed it.
 */
export function isInstalled() {
  const installed = packages(join(root, 'node_modules/.package-lock.json'));
  if (!installed) return false;
  const wanted = packages(join(root, 'package-lock.json')) ?? {};
  return Object.entries(wanted).every(([path, { version, optional, link }]) =>
    !path.startsWith('node_modules/') || optional || (link ? installed[path]?.link : installed[path]?.version === version));
}

function packages(lockFile) {
  try {
    return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw new Error(`${lockFile} is not a lock file`, { cause: error });
  }
}

/** Started by npm, the same npm; else the one on PATH. */
function install() {
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  return run([...npm, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], { timeoutMs: INSTALL_DEADLINE_MS });
}

if (isMain(import.meta.url)) {
  try {
    await setup();
  } catch (error) {
    printFailure(error);
    process.exitCode = 1;
  }
}
