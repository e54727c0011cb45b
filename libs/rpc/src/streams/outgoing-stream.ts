import { type Readable, finished } from 'node:stream';
import { toGatehouseError, unavailable } from '@gatehouse/contracts';
import { CHUNK_BYTES, type Frame, WINDOW_CHUNKS, parseCreditFrame } from './frames.js';
import { PieceBuffer } from './piece-buffer.js';
import type { StreamEnd, StreamPart } from './stream-end.js';

/** How a sending ended that did not fail. */
export interface StreamSent {
  /** Sent. All of them were read by the receiver when the stream is complete. */
  readonly bytes: number;
  /** False when the receiver stopped before the end, as it may: the call that the stream belongs to tells why. */
  readonly complete: boolean;
}

/** The sending end. Reads its source only as far as the receiver has granted. */
export class OutgoingStream implements StreamPart {
  readonly sent: Promise<StreamSent>;
  private resolve: (sent: StreamSent) => void = () => undefined;
  private reject: (reason: unknown) => void = () => undefined;
  private readonly gathered = new PieceBuffer();
  /** Number of the next chunk. */
  private sequence = 0;
  private granted = 0;
  private bytes = 0;
  private exhausted = false;
  private endSaid = false;
  private settled = false;

  constructor(
    private readonly source: Readable,
    private readonly end: StreamEnd,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.sent = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // The call that the stream belongs to may fail first, and then nobody asks how the sending ended.
    this.sent.catch(() => undefined);
    // Its listener for errors stays: a source may fail once more when it is destroyed.
    finished(source, { writable: false }, error => (error ? this.sourceFailed(error) : this.sourceEnded()));
    signal?.addEventListener('abort', this.abort, { once: true });
    source.on('readable', this.pump);
    if (signal?.aborted === true) this.abort();
    else end.open(this, { kind: 'hello' });
  }

  hear(message: Buffer): void {
    const frame = parseCreditFrame(message);
    // No receiver grants more than a window beyond what it has.
    if (frame === null || (frame.kind === 'grant' && frame.sequence > this.sequence + WINDOW_CHUNKS) || (frame.kind === 'done' && !this.endSaid)) return;
    this.end.meet();
    if (frame.kind === 'grant') this.grant(frame.sequence);
    else if (frame.kind === 'broken') this.settle(() => this.reject(unavailable(new Error('The receiver of the stream cannot go on'))));
    else this.settle(() => this.resolve({ bytes: this.bytes, complete: frame.kind === 'done' }));
  }

  fail(reason: unknown, farewell: Frame = { kind: 'failed', error: unavailable().toWire() }): void {
    this.settle(() => this.reject(reason), farewell);
  }

  /** What a slow source gives does not wait for a whole chunk for ever. */
  tick(): void {
    this.send(1);
  }

  private readonly pump = (): void => this.send(CHUNK_BYTES);

  private readonly abort = (): void => this.fail(this.signal?.reason);

  private grant(sequence: number): void {
    if (sequence <= this.granted) return;
    this.granted = sequence;
    this.end.progress();
    this.pump();
  }

  /** @param bytesMin of a chunk that is not the last */
  private send(bytesMin: number): void {
    try {
      while (!this.settled && this.sequence < this.granted && this.gather(bytesMin)) {
        const gathered = this.gathered.length;
        const pieces = this.gathered.take(CHUNK_BYTES);
        this.bytes += gathered - this.gathered.length;
        this.end.progress();
        this.end.say({ kind: 'chunk', sequence: this.sequence++, pieces });
      }
    } catch (error) {
      this.sourceFailed(error);
    }
    if (!this.exhausted || this.gathered.length > 0 || this.endSaid || this.settled) return;
    this.endSaid = true;
    this.end.say({ kind: 'end', sequence: this.sequence });
  }

  /** Whether there is a chunk to be sent. */
  private gather(bytesMin: number): boolean {
    while (this.gathered.length < CHUNK_BYTES) {
      const piece = this.source.read() as unknown;
      if (piece === null) break;
      this.gathered.add(piece);
    }
    return this.gathered.length >= (this.exhausted ? 1 : bytesMin);
  }

  private sourceEnded(): void {
    this.exhausted = true;
    this.pump();
  }

  private sourceFailed(error: unknown): void {
    this.fail(error, { kind: 'failed', error: toGatehouseError(error).toWire() });
  }

  private settle(outcome: () => void, farewell?: Frame): void {
    if (this.settled) return;
    this.settled = true;
    this.signal?.removeEventListener('abort', this.abort);
    this.source.off('readable', this.pump);
    this.end.close(farewell);
    this.source.destroy();
    outcome();
  }
}
