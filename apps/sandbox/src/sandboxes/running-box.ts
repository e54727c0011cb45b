import type { SandboxHandle } from '../drivers/sandbox.driver.js';

/** Calls `work` after a while; the answer calls it off. */
export type After = (delayMs: number, work: () => void) => () => void;

export const realAfter: After = (delayMs, work) => {
  const timer = setTimeout(work, delayMs).unref();
  return () => clearTimeout(timer);
};

/** One life of a sandbox on this node. Counts who is using it; after a time without anyone it is idle. */
export class RunningBox {
  private users = 0;
  private callOff: (() => void) | undefined;
  private over = false;

  constructor(
    readonly handle: SandboxHandle,
    readonly timeoutMs: number,
    private readonly onIdle: () => void,
    private readonly after: After,
  ) {
    this.waitForIdle();
  }

  get generation(): number {
    return this.handle.ref.generation;
  }

  async use<T>(work: (handle: SandboxHandle) => Promise<T>): Promise<T> {
    this.users++;
    this.callOff?.();
    try {
      return await work(this.handle);
    } finally {
      this.users--;
      this.waitForIdle();
    }
  }

  /** Its end has begun: nothing is idle any more. */
  end(): void {
    this.over = true;
    this.callOff?.();
  }

  private waitForIdle(): void {
    if (this.users === 0 && !this.over) this.callOff = this.after(this.timeoutMs, this.onIdle);
  }
}
