const WINDOW_MS = 60_000;
const RESTARTS_MAX = 5;
const FIRST_DELAY_MS = 250;

/**
 * How long to wait before a process that died is started again: longer each time, and not for ever.
 *
 * @param {() => number} now milliseconds
 * @returns {() => number | undefined} called at each death; undefined = give up
 */
export function restartPolicy(now = () => performance.now()) {
  let restarts = [];
  return () => {
    restarts = restarts.filter(at => now() - at < WINDOW_MS);
    if (restarts.length >= RESTARTS_MAX) return undefined;
    restarts.push(now());
    return FIRST_DELAY_MS * 2 ** (restarts.length - 1);
  };
}
