/** The uid and gid commands run as. The agent itself is uid 0 of the sandbox. */
export const COMMAND_UID = Number(process.env.GATEHOUSE_COMMAND_UID ?? 1000);
export const HOME = '/home/user';

/**
 * Runs `act` with the rights of the command user. Strictly synchronous: one `await` inside, and another request
 * would run as the wrong user. Costs about 0.2 ms, because the kernel sets ids per thread.
 */
export function asUser<T>(act: () => T): T {
  try {
    process.setegid?.(COMMAND_UID);
    process.seteuid?.(COMMAND_UID);
    return act();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
