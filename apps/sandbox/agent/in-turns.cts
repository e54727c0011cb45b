import { setImmediate as nextTurn } from 'node:timers/promises';
import { asUser } from './as-user.cjs';

/** How long others wait for the agent at most while one works. */
const WINDOW_MS = 5;

/**
 * Takes the steps of `work` as the command user, some milliseconds at a time, so that the agent answers others meanwhile. Work that
 * nobody wants any more is given up; null then.
 */
export async function inTurns<T>(work: Generator<undefined, T>, wanted: () => boolean): Promise<T | null> {
  while (wanted()) {
    const step = asUser(() => advance(work));
    if (step.done) return step.value;
    await nextTurn();
  }
  asUser(() => work.return(undefined as T)); // its `finally` blocks
  return null;
}

function advance<T>(work: Generator<undefined, T>): IteratorResult<undefined, T> {
  const end = performance.now() + WINDOW_MS;
  let step: IteratorResult<undefined, T>;
  do step = work.next();
  while (!step.done && performance.now() < end);
  return step;
}
