import { EXEC_TIMEOUT_DEFAULT_MS, type ExecCommand, type ExecResult, sandboxTimedOut } from '@gatehouse/contracts';
import type { SandboxHandle } from '../drivers/sandbox.driver.js';
import type { Envs } from '../envs/sealed-envs.js';
import { driven } from './driver-failure.js';
import { HOME, sandboxPath } from './sandbox-path.js';

const OUTPUT_BYTES_MAX = 10 * 1_048_576;

/**
 * Runs one shell command to its end (spec 6.3).
 * @param sandboxEnvs those of the agent and the sandbox; the command's own win
 * @throws GatehouseError `sandbox_error` with `timedOut` when its time is over; `not_found` without its working directory
 */
export const execCommand = async (
  handle: SandboxHandle,
  { command, cwd = HOME, envs = {}, timeoutMs = EXEC_TIMEOUT_DEFAULT_MS }: Pick<ExecCommand, 'command' | 'cwd' | 'envs' | 'timeoutMs'>,
  sandboxEnvs: Envs,
): Promise<ExecResult> => {
  const result = await driven(handle.exec({ command, cwd: sandboxPath(cwd), env: { ...sandboxEnvs, ...envs }, timeoutMs, capBytes: OUTPUT_BYTES_MAX }));
  if (result.timedOut) throw sandboxTimedOut(`Command timed out after ${timeoutMs} ms`);
  return { stdout: result.stdout.toString(), stderr: result.stderr.toString(), exitCode: result.exitCode, truncated: result.truncated };
};
