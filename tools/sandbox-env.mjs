import { join } from 'node:path';
import { runNode } from './processes/commands.mjs';
import { stateDir } from './workspace.mjs';

/**
 * The container runtime and init of this machine, or unpacked ones. In a process of its own: the first time it downloads, and
 * must not hold up the terminal.
 *
 * @returns {Promise<{ SANDBOX_RUNTIME: string, SANDBOX_INIT: string }>}
 */
export async function sandboxRuntimeEnv() {
  const { runtime, init } = JSON.parse(await runNode(['tools/sandbox-runtime.mjs', join(stateDir, 'runtime')], { timeoutMs: 300_000 }));
  return { SANDBOX_RUNTIME: runtime, SANDBOX_INIT: init };
}
