import { acquireLock, askHolder } from '../processes/lock.mjs';
import { until } from '../until.mjs';

const LOCK = 'launcher';
const STOPPING_MS = 40_000;

/**
 * One launcher per clone. Another that is just stopping is waited for.
 *
 * @param {() => { pid: number, url: string, state: 'starting' | 'ready' | 'stopping' }} describe
 * @throws {Error} saying who holds it
 */
export async function acquireLauncherLock(describe) {
  let holder;
  const release = await until(
    async () => {
      const mine = await acquireLock(LOCK, describe);
      if (mine) return mine;
      holder = await runningLauncher();
      return holder && holder.state !== 'stopping' ? 'taken' : undefined;
    },
    { deadlineMs: STOPPING_MS, everyMs: 100 },
  );
  if (typeof release === 'function') return release;
  const { pid = '?', url = '', state } = holder ?? {};
  throw new Error(`Gatehouse already runs from this folder (pid ${pid}${state === 'stopping' ? ', stopping' : ''}): ${url}`);
}

/** @returns {Promise<{ pid: number, url: string, state: string } | undefined>} */
export const runningLauncher = () => askHolder(LOCK);
