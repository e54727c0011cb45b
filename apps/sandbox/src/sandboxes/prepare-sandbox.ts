import { type FilesInput, filesOf, sandboxFailed, sandboxTimedOut } from '@gatehouse/contracts';
import { CWD_DEFAULT } from '../agents/agent-definition.js';
import type { SandboxHandle } from '../drivers/sandbox.driver.js';
import type { Envs } from '../envs/sealed-envs.js';
import { driven, preparationFailure } from './driver-failure.js';
import { loggedStep, type StepLog } from './logged-step.js';
import { HOME, sandboxPath } from './sandbox-path.js';

const SETUP_TIMEOUT_MS = 120_000;
/** Output of setup commands is not answered, so none of it needs to be kept. */
const SETUP_OUTPUT_BYTES = 1;

export interface Preparation {
  /** Each laid over the ones before it. */
  readonly files: readonly FilesInput[];
  /** Where the agent works; null when its definition does not say. */
  readonly cwd: string | null;
  readonly setup: readonly string[];
  readonly envs: Envs;
}

/**
 * Makes a new box what its agent needs: files, working directory, then the setup commands in order. Each step is logged.
 * @throws GatehouseError `sandbox_error` saying which setup command failed, never what it printed
 */
export const prepareSandbox = async (handle: SandboxHandle, { files, cwd, setup, envs }: Preparation, signal: AbortSignal, log: StepLog): Promise<void> => {
  const contents = laidOver(files);
  const bytes = [...contents.values()].reduce((sum, { length }) => sum + length, 0);
  await loggedStep(log, { step: 'files', files: contents.size, bytes }, () => writeFiles(handle, contents, signal));
  // What every new home has need not be made.
  if (cwd !== null && sandboxPath(cwd) !== CWD_DEFAULT) await unlessAborted(() => driven(handle.files.mkdir(sandboxPath(cwd)), preparationFailure), signal);
  for (const [index, command] of setup.entries()) {
    const options = { command, cwd: cwd === null ? HOME : sandboxPath(cwd), env: envs, timeoutMs: SETUP_TIMEOUT_MS, capBytes: SETUP_OUTPUT_BYTES, signal };
    const { exitCode, timedOut } = await loggedStep(log, { step: 'command', number: index + 1, of: setup.length }, () => driven(handle.exec(options), preparationFailure), ended => ({ exitCode: ended.exitCode, timedOut: ended.timedOut }));
    if (timedOut) throw sandboxTimedOut(`Setup command ${index + 1} timed out after ${SETUP_TIMEOUT_MS} ms`);
    if (exitCode !== 0) throw sandboxFailed(`Setup command ${index + 1} exited with code ${exitCode}`);
  }
};

const writeFiles = async (handle: SandboxHandle, files: ReadonlyMap<string, Buffer>, signal: AbortSignal): Promise<void> => {
  for (const [path, content] of files) await unlessAborted(() => driven(handle.files.write(path, content), preparationFailure), signal);
};

/** One content per file, however its path is spelled. */
const laidOver = (files: readonly FilesInput[]): ReadonlyMap<string, Buffer> => new Map(files.flatMap(filesOf).map(({ path, content }) => [sandboxPath(path), Buffer.from(content)]));

/** Whoever gives up does not wait for the sandbox to notice: it is thrown away. */
const unlessAborted = async <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted();
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
};
