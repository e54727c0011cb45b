/**
 * Looks at `condition` until it answers something truthy, and returns that.
 *
 * @template T
 * @param {() => T | Promise<T>} condition
 * @param {{ deadlineMs: number, everyMs?: number }} options
 * @returns {Promise<T | undefined>} undefined when the deadline passed first
 */
export async function until(condition, { deadlineMs, everyMs = 25 }) {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (performance.now() >= end) return undefined;
    await new Promise(resolve => setTimeout(resolve, everyMs));
  }
}
