export type FailureCode = 'bad-request' | 'bad-cwd' | 'not-found' | 'too-big' | 'busy' | 'gone' | 'disk-full' | 'denied' | 'conflict' | 'failed';

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

const CODES: Readonly<Record<string, FailureCode>> = {
  ENOENT: 'not-found',
  E2BIG: 'too-big',
  EAGAIN: 'busy',
  EMFILE: 'busy',
  ENFILE: 'busy',
  ENOMEM: 'busy',
  ENOSPC: 'disk-full',
  EDQUOT: 'disk-full',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  EEXIST: 'conflict',
  EISDIR: 'conflict',
  ENOTDIR: 'conflict',
};

export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new Failure(CODES[code ?? ''] ?? 'failed', message);
}
