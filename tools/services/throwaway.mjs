import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Children, endLeftovers } from '../processes/children.mjs';
import { identify, isRunning } from '../processes/process-identity.mjs';
import { stateDir } from '../workspace.mjs';

const SEPARATOR = '~';
const parent = () => join(stateDir, 'throwaway');
const recordIn = dir => join(dir, 'children.json');

/**
 * A folder and processes that live as long as this process. Its name says whose it is, so the next one to come clears
 * away what a killed process left.
 *
 * @returns {Promise<{ dir: string, children: Children, end: () => Promise<void> }>}
 */
export async function throwaway() {
  mkdirSync(parent(), { recursive: true });
  await clearAbandoned();
  const { pid, started } = identify(process.pid);
  const dir = mkdtempSync(join(parent(), [pid, started.replaceAll('/', SEPARATOR), ''].join(SEPARATOR)));
  const children = new Children(recordIn(dir));
  const end = async () => {
    await children.close();
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  return { dir, children, end };
}

async function clearAbandoned() {
  for (const name of readdirSync(parent())) {
    const [pid, ...started] = name.split(SEPARATOR).slice(0, -1);
    if (isRunning({ pid: Number(pid), started: started.join('/') })) continue;
    await endLeftovers(recordIn(join(parent(), name)));
    rmSync(join(parent(), name), { recursive: true, force: true, maxRetries: 3 });
  }
}
