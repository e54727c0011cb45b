import { setTimeout as delay } from 'node:timers/promises';

/** Repeats `attempt` until it neither throws nor returns false; then its last failure is the test's. */
export async function eventually<T>(attempt: () => T | Promise<T>, timeoutMs = 10_000): Promise<T> {
  for (const deadline = performance.now() + timeoutMs; ; await delay(20)) {
    try {
      const value = await attempt();
      if (value !== false) return value;
      if (performance.now() > deadline) throw new Error(`not so within ${timeoutMs} ms`);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}
