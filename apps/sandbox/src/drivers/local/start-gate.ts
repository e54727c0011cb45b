import { DriverError } from '../driver-error.js';

interface Waiter {
  enter(): void;
}

/** At most `max` starts at a time: more would not end sooner, and each would wait longer. The rest queue, with a deadline. */
export class StartGate {
  private running = 0;
  private readonly queue = new Set<Waiter>();
  private readonly forQuiet = new Set<() => void>();

  constructor(
    private readonly max: number,
    private readonly timeoutMs: number,
  ) {}

  /** @throws {DriverError} `no-capacity` when the turn does not come in time; the signal's reason when it aborts first */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.running >= this.max) await this.turn(signal);
    else this.running++;
    try {
      return await work();
    } finally {
      this.pass();
    }
  }

  get isQuiet(): boolean {
    return this.running === 0;
  }

  /** For work that can wait: resolves once nothing starts, or when `signal` aborts. */
  quiet(signal: AbortSignal): Promise<void> {
    if (this.isQuiet || signal.aborted) return Promise.resolve();
    return new Promise(resolve => {
      const settle = () => {
        signal.removeEventListener('abort', settle);
        this.forQuiet.delete(settle);
        resolve();
      };
      signal.addEventListener('abort', settle);
      this.forQuiet.add(settle);
    });
  }

  private turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        this.queue.delete(waiter);
        act();
      };
      const waiter: Waiter = { enter: settle(resolve) };
      const abort = settle(() => reject(signal.reason as Error));
      const expire = settle(() => reject(new DriverError('no-capacity', 'Too many sandboxes are starting')));
      const timer = setTimeout(expire, this.timeoutMs);
      signal.addEventListener('abort', abort);
      this.queue.add(waiter);
    });
  }

  /** The place goes to the next in line, so `running` only falls when nobody waits. */
  private pass(): void {
    const [next] = this.queue;
    if (next) return next.enter();
    this.running--;
    if (this.isQuiet) for (const settle of this.forQuiet) settle();
  }
}
