import { Readable } from 'node:stream';
import { GatehouseError } from '@gatehouse/contracts';
import { CHUNK_BYTES, type DataFrame, type Frame, WINDOW_CHUNKS, parseDataFrame } from './frames.js';
import type { StreamEnd, StreamPart } from './stream-end.js';

/** The receiving end. Grants a window beyond what its reader has taken. */
export class IncomingStream extends Readable implements StreamPart {
  /** Chunks that were granted and not read yet, or that overtook another. */
  private readonly arrived = new Map<number, readonly Buffer[]>();
  /** Number of the chunk to be read next. */
  private next = 0;
  private granted = WINDOW_CHUNKS;
  private endAt: number | undefined;
  private wanted = false;
  private broken = false;

  constructor(
    private readonly end: StreamEnd,
    private readonly signal: AbortSignal | undefined,
  ) {
    super({ highWaterMark: CHUNK_BYTES });
    // The call that the stream belongs to may fail first, and then nobody reads: that must not end the process.
    this.on('error', () => undefined);
    signal?.addEventListener('abort', this.abort, { once: true });
    if (signal?.aborted === true) this.abort();
    else end.open(this, this.grant);
  }

  hear(message: Buffer): void {
    const frame = parseDataFrame(message);
    if (frame === null || !this.accept(frame)) return;
    this.end.meet();
    this.end.progress();
    this.deliver();
  }

  fail(reason: GatehouseError): void {
    this.broken = true;
    this.destroy(reason);
  }

  override _read(): void {
    this.wanted = true;
    this.deliver();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.signal?.removeEventListener('abort', this.abort);
    this.arrived.clear();
    this.end.close({ kind: this.broken ? 'broken' : this.readableEnded ? 'done' : 'stopped' });
    callback(error);
  }

  private readonly abort = (): void => void this.destroy(this.signal?.reason as Error);

  private get grant(): Frame {
    return { kind: 'grant', sequence: this.granted };
  }

  /** False when it says nothing new: a repetition, or what no sender sends. */
  private accept(frame: DataFrame): boolean {
    switch (frame.kind) {
      case 'hello':
        this.end.say(this.grant);
        return true;
      case 'chunk':
        if (frame.sequence < this.next || frame.sequence >= (this.endAt ?? this.granted) || this.arrived.has(frame.sequence)) return false;
        this.arrived.set(frame.sequence, frame.pieces);
        return true;
      case 'end':
        if (this.endAt !== undefined || frame.sequence < this.next || frame.sequence > this.granted) return false;
        this.endAt = frame.sequence;
        return true;
      case 'failed':
        this.destroy(GatehouseError.fromWire(frame.error));
        return true;
    }
  }

  /** One chunk per demand; the stream demands more by itself. */
  private deliver(): void {
    if (!this.wanted || this.destroyed) return;
    const chunk = this.arrived.get(this.next);
    if (chunk !== undefined) {
      this.wanted = false;
      this.arrived.delete(this.next++);
      this.end.progress();
      this.grantMore();
      for (const piece of chunk) this.push(piece);
    } else if (this.next === this.endAt) {
      this.wanted = false;
      this.push(null);
    }
  }

  private grantMore(): void {
    if (this.endAt !== undefined) return;
    this.granted = this.next + WINDOW_CHUNKS;
    this.end.say(this.grant);
  }
}
