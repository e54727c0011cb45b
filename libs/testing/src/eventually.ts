const POLL_MS = 10;

/**
 * Resolves with what `look` answers once it answers without throwing. For states that another process reaches in its own
 * time; the deadline is generous because it only matters when something is broken.
 */
export const eventually = async <T>(look: () => T | Promise<T>, { deadlineMs = 10_000 } = {}): Promise<T> => {
  const end = performance.now() + deadlineMs;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() >= end) throw error;
    }
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
};
