import { OutputRing } from './output-ring.cjs';
import type { Pipe } from './pipe-stock.cjs';

const RING_BYTES = 4 * 1024 * 1024;
/** Half the ring may fill with nobody listening: the other half still holds what a lost connection had in flight. */
const UNATTENDED_BYTES = RING_BYTES / 2;

/** Takes a chunk; false asks for a pause until `resume`. */
export type Sink = (chunk: Buffer) => boolean;

/**
 * One output stream of a command: counts every byte, keeps at most `capBytes` of them and drops the rest (reading on, so
 * that a flood ends by itself), and holds the writer back while its reader is slow or, for a kept process, away.
 */
export class Output {
  bytes = 0;
  truncated = false;
  /** Resolves at the end of the pipe, or when `close` gave up on it. */
  readonly ended: Promise<void>;

  private kept = 0;
  private readonly ring: OutputRing | undefined;
  private sink: Sink | undefined;
  private detachedAt = 0;
  private sawEnd = false;
  private markEnded: () => void = () => undefined;

  constructor(
    private readonly pipe: Pipe,
    private readonly capBytes: number,
    keep: boolean,
  ) {
    this.ring = keep ? new OutputRing(RING_BYTES) : undefined;
    this.ended = new Promise(resolve => (this.markEnded = resolve));
    pipe.ours.on('data', chunk => this.take(chunk));
    pipe.ours.on('error', () => this.close());
    pipe.ours.on('end', () => {
      this.sawEnd = true;
      this.close();
    });
    pipe.ours.pause();
  }

  get paused(): boolean {
    return this.pipe.ours.isPaused();
  }

  /** False when the bytes from `offset` on are no longer there. */
  attach(offset: number, sink: Sink): boolean {
    const missed = this.ring ? this.ring.from(offset) : [];
    if (!missed) return false;
    this.sink = sink;
    for (const chunk of missed) sink(chunk);
    this.resume();
    return true;
  }

  detach(): void {
    this.sink = undefined;
    this.detachedAt = this.ring?.head ?? 0;
    this.resume();
  }

  resume(): void {
    if (!this.sawEnd && !this.mustWait()) this.pipe.ours.resume();
  }

  close(): void {
    if (this.pipe.ours.destroyed) return;
    this.pipe.release(this.sawEnd);
    this.markEnded();
  }

  private take(chunk: Buffer): void {
    this.bytes += chunk.length;
    const room = this.capBytes - this.kept;
    if (chunk.length > room) this.truncated = true;
    if (room <= 0) return;
    const wanted = chunk.length > room ? chunk.subarray(0, room) : chunk;
    this.kept += wanted.length;
    this.ring?.push(wanted);
    const sinkIsFull = this.sink !== undefined && !this.sink(wanted);
    if (sinkIsFull || this.mustWait()) this.pipe.ours.pause();
  }

  private mustWait(): boolean {
    return this.ring !== undefined && this.sink === undefined && this.ring.head - this.detachedAt >= UNATTENDED_BYTES;
  }
}
