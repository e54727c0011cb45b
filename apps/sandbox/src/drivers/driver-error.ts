/**
 * - `unavailable`: the sandbox, its agent or the node cannot answer now; another attempt may pass.
 * - `failed`: it was tried and did not work.
 * - `bad-cwd`: the working directory of a command does not exist or may not be entered.
 * - `not-found`, `wrong-kind` (a directory where a file is needed, or the other way round), `occupied` (something else stands where this
 *   was to be), `denied` (the command user may not), `too-large`: what a call about a file met.
 * - `no-capacity`: the node holds as many sandboxes, or starts as many at once, as it is allowed to.
 * - `timed-out`: no answer within the deadline. (A command that runs too long is a result, not an error.)
 */
export type FileProblem = 'not-found' | 'wrong-kind' | 'occupied' | 'denied' | 'too-large';
export type DriverErrorKind = 'unavailable' | 'failed' | 'bad-cwd' | FileProblem | 'no-capacity' | 'timed-out';

/** The only error a driver throws. `message` is fit for callers; paths, programs and their output stay in `cause`, for the log. */
export class DriverError extends Error {
  override readonly name = 'DriverError';

  constructor(
    readonly kind: DriverErrorKind,
    message: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}
