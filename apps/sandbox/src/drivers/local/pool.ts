import { setTimeout as delay } from 'node:timers/promises';
import type { DriverLogger } from '../driver-logger.js';
import type { SandboxSpec } from '../sandbox.driver.js';
import type { BoxShape, IdleBox } from './box-starter.js';
import { fixedAtStart } from './bundle.js';
import type { StartGate } from './start-gate.js';

/** Whoever has just got a box uses it now: the next one is not made in its way. */
const REFILL_DELAY_MS = 20;
const AGE_MAX_MS = 3_600_000;
const AGE_CHECK_INTERVAL_MS = 60_000;
const BACKOFF_MS = { first: 1_000, last: 60_000 };

export interface PoolOptions {
  /** Boxes that lie ready at most; 0: none. */
  size: number;
  /** Memory all of them may use together. */
  memoryBytes: number;
  /** What is prepared before anything was asked for. */
  first?: BoxShape;
}

export interface PoolParts {
  options: PoolOptions;
  gate: StartGate;
  log: DriverLogger;
  start(shape: BoxShape, signal: AbortSignal): Promise<IdleBox>;
  /** Boxes the node may hold beside its sandboxes. */
  room(): number;
  /** Milliseconds, from any fixed moment on. */
  now?(): number;
}

interface Ready {
  idle: IdleBox;
  kind: string;
  sinceMs: number;
}

interface Making {
  kind: string;
  /** null when it fails. */
  made: Promise<IdleBox | null>;
  /** Somebody waits for this one. */
  promised: boolean;
}

/**
 * Boxes that run and are nobody's yet, so that a new sandbox need not wait for its start. The pool holds what was asked for last: as
 * many of each kind as there are among the last `size` new sandboxes. It fills itself, one at a time, while nothing else starts,
 * and gives way where the node needs the room.
 */
export class Pool {
  /** Oldest first. */
  private readonly ready: Ready[] = [];
  /** Oldest first; as many as the pool may hold. */
  private asked: BoxShape[];
  private making: Making | undefined;
  private open = false;
  private working = false;
  private work: Promise<void> = Promise.resolve();
  private readonly ended = new AbortController();
  /** Of the step that only waits: whatever changes ends it. */
  private rest = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private failures = 0;
  private quietUntilMs = 0;
  private largestBytes = 0;
  private toldOfMemory = false;
  private readonly now: () => number;

  constructor(private readonly parts: PoolParts) {
    const { size, first } = parts.options;
    this.asked = first ? Array.from({ length: size }, () => first) : [];
    this.now = parts.now ?? (() => performance.now());
  }

  /** From now on there is a pool. */
  fill(): void {
    if (this.open || this.ended.signal.aborted || this.parts.options.size === 0) return;
    this.open = true;
    this.timer = setInterval(() => this.tend(), AGE_CHECK_INTERVAL_MS).unref();
    this.tend();
  }

  /**
   * A box of that shape, or the one that is just being made; null where there is none. From then on it is the caller's.
   * @throws the reason of `signal` when it aborts before the box is made
   */
  async take(shape: BoxShape, signal: AbortSignal): Promise<IdleBox | null> {
    if (!this.open) return null;
    const kind = fixedAtStart(shape);
    const ready = this.ready.find(each => each.kind === kind && each.idle.box.isRunning);
    if (ready) {
      this.quietUntilMs = Math.max(this.quietUntilMs, this.now() + REFILL_DELAY_MS);
      return this.remove(ready);
    }
    if (this.making?.kind !== kind || this.making.promised) return null;
    this.making.promised = true;
    return this.promised(this.making.made, signal); // it began earlier than any start could that begins now
  }

  private async promised(made: Promise<IdleBox | null>, signal: AbortSignal): Promise<IdleBox | null> {
    let abort = (): void => undefined;
    const aborted = new Promise<'aborted'>(resolve => {
      abort = () => resolve('aborted');
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
    });
    const idle = await Promise.race([made, aborted]);
    signal.removeEventListener('abort', abort);
    if (idle !== 'aborted') return idle;
    void made.then(late => (late === null ? undefined : this.giveBack(late)));
    throw signal.reason;
  }

  /** What `take` gave and nobody needs after all. */
  async giveBack(idle: IdleBox): Promise<void> {
    if (!this.open) return this.end(idle);
    this.add(idle);
    this.tend();
  }

  /** A new sandbox of that shape was made: the next one may well be like it. */
  note({ template, limits }: SandboxSpec): void {
    if (!this.open) return;
    this.asked = [...this.asked, { template, limits }].slice(-this.parts.options.size);
    this.tend();
  }

  /** Makes and ends boxes until all is as it should be. To be called when the room has changed. */
  tend(): void {
    this.rest.abort();
    if (!this.open || this.working) return;
    this.working = true;
    this.work = this.toil();
  }

  /** Ends every box. */
  async close(): Promise<void> {
    this.ended.abort();
    this.rest.abort();
    this.open = false;
    clearInterval(this.timer);
    await this.work;
    await Promise.all(this.ready.splice(0).map(({ idle }) => this.end(idle)));
  }

  private async toil(): Promise<void> {
    for (let step = this.next(); step; step = this.next()) await step();
    this.working = false; // in the same breath as the last look: whoever calls later begins anew
  }

  /** What is to be done now, judged afresh after every step. */
  private next(): (() => Promise<void>) | null {
    if (!this.open) return null;
    const missing = this.missing();
    const excess = this.excess(missing);
    if (excess) return () => this.end(this.remove(excess));
    if (!missing) return null;
    const waitMs = this.quietUntilMs - this.now();
    if (waitMs > 0) return () => this.wait(signal => delay(waitMs, undefined, { signal }).catch(() => undefined)); // ends early
    if (!this.parts.gate.isQuiet) return () => this.wait(signal => this.parts.gate.quiet(signal));
    return () => this.make(missing);
  }

  private get capacity(): number {
    const { size, memoryBytes } = this.parts.options;
    const affordable = this.largestBytes === 0 ? size : Math.floor(memoryBytes / this.largestBytes);
    if (affordable < size && !this.toldOfMemory) {
      this.toldOfMemory = true;
      this.parts.log.warn({ size: affordable, boxBytes: this.largestBytes, memoryBytes }, 'the pool of sandboxes has less memory than its size needs, and stays smaller');
    }
    return Math.max(0, Math.min(size, affordable, this.parts.room()));
  }

  /** As many of each kind as were asked for last. */
  private get wanted(): BoxShape[] {
    const { capacity } = this;
    return capacity === 0 ? [] : this.asked.slice(-capacity);
  }

  private missing(): BoxShape | undefined {
    const { wanted } = this;
    return wanted.findLast(shape => {
      const kind = fixedAtStart(shape);
      return this.ready.filter(each => each.kind === kind).length < wanted.filter(each => fixedAtStart(each) === kind).length;
    });
  }

  /** One that is too old, or that stands where another is to stand. */
  private excess(missing: BoxShape | undefined): Ready | undefined {
    const [oldest] = this.ready;
    if (oldest && this.now() - oldest.sinceMs > AGE_MAX_MS) return oldest;
    if (this.ready.length + (missing ? 1 : 0) <= this.capacity) return undefined;
    const kinds = this.wanted.map(fixedAtStart);
    return this.ready.find(ready => this.ready.filter(({ kind }) => kind === ready.kind).length > kinds.filter(kind => kind === ready.kind).length);
  }

  private wait(until: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.rest = new AbortController();
    return until(this.rest.signal);
  }

  private async make(shape: BoxShape): Promise<void> {
    const start = this.parts.start(shape, this.ended.signal).then(idle => this.measured(idle));
    const making: Making = { kind: fixedAtStart(shape), made: start.catch(() => null), promised: false };
    this.making = making;
    try {
      const idle = await start;
      this.making = undefined; // and at once it is ready: nobody finds it in between
      this.failures = 0;
      if (!making.promised) this.add(idle);
    } catch (err) {
      this.making = undefined;
      if (!this.ended.signal.aborted) this.failed(err, 'no sandbox could be prepared; it will be tried again');
    }
  }

  /** While nobody can have it: its owner may end it at any time. */
  private async measured(idle: IdleBox): Promise<IdleBox> {
    try {
      this.largestBytes = Math.max(this.largestBytes, (await idle.box.stats()).memoryBytes);
      return idle;
    } catch (error) {
      await this.end(idle);
      throw error;
    }
  }

  private add(idle: IdleBox): void {
    const ready = { idle, kind: fixedAtStart(idle.shape), sinceMs: this.now() };
    this.ready.push(ready);
    idle.box.onExit(why => {
      if (!this.ready.includes(ready)) return;
      this.remove(ready);
      this.failed(undefined, `a sandbox ended in the pool: ${why}`);
      this.tend();
    });
  }

  private remove(ready: Ready): IdleBox {
    this.ready.splice(this.ready.indexOf(ready), 1);
    return ready.idle;
  }

  private async end({ box, slot }: IdleBox): Promise<void> {
    await box.stop().catch((err: unknown) => this.parts.log.warn({ err, slot }, 'a sandbox of the pool could not be ended; reconciliation will try again'));
  }

  /** Whatever fails is not tried again at once. */
  private failed(err: unknown, message: string): void {
    const pauseMs = Math.min(BACKOFF_MS.first * 2 ** this.failures++, BACKOFF_MS.last);
    this.quietUntilMs = this.now() + pauseMs;
    this.parts.log.warn({ err, pauseMs }, message);
  }
}
