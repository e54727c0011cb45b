import { DriverError } from './driver-error.js';

/** One clock for all the stages of a call; what the passing of time ends moves on with them. */
export class Deadline {
  private act: ((error: DriverError) => void) | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly timeoutMs: number) {
    this.restart();
  }

  /** Replaces what happened before when the time is over. */
  onPass(act: (error: DriverError) => void): void {
    this.act = act;
  }

  /** From now on, all of the time again. */
  restart(): void {
    this.clear();
    this.timer = setTimeout(() => this.act?.(new DriverError('timed-out', 'The sandbox did not answer in time')), this.timeoutMs);
  }

  clear(): void {
    clearTimeout(this.timer);
  }
}
