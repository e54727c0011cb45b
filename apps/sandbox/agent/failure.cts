export type FailureCode = 'bad-request' | 'bad-cwd' | 'not-found' | 'too-big' | 'busy' | 'gone' | 'disk-full' | 'denied' | 'conflict' | 'failed' | FileFailureCode;
export type FileFailureCode = 'not-a-file' | 'not-a-directory' | 'of-kernel' | 'occupied' | 'too-large' | 'across-mounts' | 'incomplete';

/** What the agent answers when something cannot be done. */
export class Failure extends Error {
  constructor(
    readonly code: FailureCode,
    message: string,
  ) {
    super(message);
  }

  toJSON(): { code: FailureCode; message: string } {
    return { code: this.code, message: this.message };
  }
}

type Codes = Readonly<Record<string, FailureCode>>;

const EXHAUSTED: Codes = { EAGAIN: 'busy', EMFILE: 'busy', ENFILE: 'busy', ENOMEM: 'busy', ENOSPC: 'disk-full', EDQUOT: 'disk-full' };
const COMMAND: Codes = { ...EXHAUSTED, ENOENT: 'not-found', E2BIG: 'too-big', EACCES: 'denied', EPERM: 'denied', EROFS: 'denied' };
const FILE: Codes = { ...EXHAUSTED, EACCES: 'denied', EPERM: 'denied', EROFS: 'denied', ELOOP: 'denied', ENAMETOOLONG: 'denied', EINVAL: 'denied', EBUSY: 'denied' };
const FOUND: Codes = { ...FILE, ENOENT: 'not-found', ENOTDIR: 'not-found' };
/** ENOENT: the parent is there and takes no children (/proc), or went away a moment after it was made. */
const MADE: Codes = { ...FILE, EISDIR: 'occupied', ENOTDIR: 'occupied', EEXIST: 'occupied', ENOTEMPTY: 'occupied', ENOENT: 'denied' };

export function toFailure(error: unknown): Failure {
  return translate(error, COMMAND);
}

/** Runs what looks for a file that should be there. @throws {Failure} */
export function finding<T>(act: () => T): T {
  return translating(act, findingFailure);
}

export function findingFailure(error: unknown): Failure {
  return translate(error, FOUND);
}

/** Runs what puts a file where there should be room for it. @throws {Failure} */
export function making<T>(act: () => T): T {
  return translating(act, makingFailure);
}

export function makingFailure(error: unknown): Failure {
  return translate(error, MADE);
}

function translating<T>(act: () => T, meaning: (error: unknown) => Failure): T {
  try {
    return act();
  } catch (error) {
    throw meaning(error);
  }
}

function translate(error: unknown, codes: Codes): Failure {
  if (error instanceof Failure) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new Failure(codes[code ?? ''] ?? 'failed', message);
}

/** Runs what clears up after a failure, and whatever comes of that: the failure itself says more. */
export function clearingUp(act: () => void): void {
  try {
    act();
  } catch (_second) {
    // The caller is about to throw the first.
  }
}

/** Lets the given errors pass: somebody else was faster, and that is as good. */
export function tolerating(codes: readonly string[], act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return false;
  }
}
