import { posix } from 'node:path';
import { CLONE_PATH_DEFAULT, CLONE_TIMEOUT_MS, type CloneRepository, type ClonedRepository, GatehouseError, sandboxFailed, sandboxTimedOut } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import { DriverError } from '../drivers/driver-error.js';
import type { ProcessExit, SandboxHandle } from '../drivers/sandbox.driver.js';
import { driven } from '../sandboxes/driver-failure.js';
import { sandboxPath } from '../sandboxes/sandbox-path.js';
import { textOf } from '../sandboxes/text-of.js';
import { CLONE_ENV, CLONE_EXIT, cloneCommand, MADE_TARGET } from './clone-command.js';
import { cloneFailure, loggableStderr } from './git-messages.js';

const OUTPUT_BYTES_MAX = 64 * 1024;
/** Of a sandbox after the clone should have ended. */
const SILENCE_MAX_MS = 15_000;
const REMOVAL_TIMEOUT_MS = 20_000;
/** What is killed may still write for a moment. */
const REMOVAL_ATTEMPTS = 3;

export interface CloneOptions {
  readonly log: Pick<Logger, 'warn'>;
  readonly timeoutMs?: number;
}

interface Outcome extends Pick<ProcessExit, 'code' | 'timedOut'> {
  readonly output: string;
  readonly stderr: string;
}

/**
 * Clones a repository with the sandbox's git (spec 6.4). The sandbox's environment values are not given to it.
 * @throws GatehouseError `conflict` when the target is there and not empty; `sandbox_error` when the clone fails, with `timedOut` when
 * its time is over. Then a target that was not there before is gone again.
 */
export const cloneRepository = async (handle: SandboxHandle, { path = CLONE_PATH_DEFAULT, ...repository }: Omit<CloneRepository, 'id' | 'agent'>, { log, timeoutMs = CLONE_TIMEOUT_MS }: CloneOptions): Promise<ClonedRepository> => {
  const target = sandboxPath(path);
  const outcome = await run(handle, cloneCommand(repository, target, posix.dirname(target)), repository.token, timeoutMs);
  const [state, branch = ''] = outcome.output.split('\n');
  if (outcome.code === 0) return { path: target, branch: branch || (repository.branch ?? 'HEAD') };
  if (state === MADE_TARGET) await remove(handle, target, log);
  throw failureOf(outcome, repository.token, timeoutMs);
};

const failureOf = ({ code, timedOut, stderr }: Outcome, token: string | undefined, timeoutMs: number): GatehouseError => {
  if (timedOut) return sandboxTimedOut(`Clone timed out after ${timeoutMs} ms`);
  if (code === CLONE_EXIT.occupied) return new GatehouseError('conflict', 'The target exists and is not an empty directory');
  if (code === CLONE_EXIT.noGit) return sandboxFailed('The sandbox has no git');
  const cause = new Error(`exit ${code}: ${loggableStderr(stderr, token)}`);
  return code === CLONE_EXIT.noTarget ? sandboxFailed('The target directory cannot be made', cause) : sandboxFailed(cloneFailure(stderr), cause);
};

const run = async (handle: SandboxHandle, argv: [string, ...string[]], token: string | undefined, timeoutMs: number): Promise<Outcome> => {
  const process = await spawned(handle.spawn({ run: { argv }, cwd: '/', env: { ...CLONE_ENV }, timeoutMs, capBytes: OUTPUT_BYTES_MAX, stdin: token !== undefined }));
  if (token !== undefined) process.stdin.end(`${token}\n`);
  const silence = setTimeout(() => process.detach(), timeoutMs + SILENCE_MAX_MS);
  try {
    const [output, stderr, { code, timedOut }] = await driven(Promise.all([textOf(process.stdout), textOf(process.stderr), process.exit]));
    return { output, stderr, code, timedOut };
  } finally {
    clearTimeout(silence);
  }
};

/** A sandbox without a shell has no git either; to the caller no file is missing. */
const spawned = <T>(work: Promise<T>): Promise<T> =>
  driven(work.catch((error: unknown) => Promise.reject(error instanceof DriverError && error.kind === 'not-found' ? sandboxFailed('The sandbox has no git', error) : error)));

/** Never rejects: the failure of the clone is what the caller is told. */
const remove = async (handle: SandboxHandle, target: string, log: CloneOptions['log']): Promise<void> => {
  try {
    for (let attempt = 1; ; attempt++) {
      const { exitCode } = await handle.exec({ command: 'rm -rf -- "$TARGET"', cwd: '/', env: { TARGET: target }, timeoutMs: REMOVAL_TIMEOUT_MS, capBytes: 1 });
      if (exitCode === 0) return;
      if (attempt === REMOVAL_ATTEMPTS) throw new Error(`rm exited with ${exitCode} ${attempt} times`);
    }
  } catch (err) {
    log.warn({ err, sandbox: handle.ref.sandboxId }, 'the half-made target of a clone was not removed');
  }
};
