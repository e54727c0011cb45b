import type { Readable } from 'node:stream';
import { type GatehouseError, internalError, unavailable } from '@gatehouse/contracts';
import { EncryptedBus } from '../bus/encrypted-bus.js';
import type { MessageBus } from '../bus/message-bus.js';
import type { RpcLogger } from '../logger.js';
import { Channels } from '../wire/channels.js';
import { IncomingStream } from './incoming-stream.js';
import { OutgoingStream, type StreamSent } from './outgoing-stream.js';
import { StreamEnd } from './stream-end.js';
import { isStreamRef } from './stream-ref.js';

export interface ByteStreamsOptions {
  readonly bus: MessageBus;
  /** 32 bytes, the same in all processes of an installation: encrypts what is sent. */
  readonly transportKey: Buffer;
  readonly logger: RpcLogger;
  /** Separates installations, and tests, on one bus. */
  readonly namespace?: string;
  /** Streams of this process that may be open at once. Each holds about 2 MiB here, and at most 2 MiB in Redis. */
  readonly streamsMax?: number;
  /** How long the other end may take to come. */
  readonly streamArrivalMs?: number;
  /** How long a stream may stand still, because its source gives nothing or its reader takes nothing. */
  readonly streamStallMs?: number;
}

const SWEEP_MS = 250;

/**
 * Streams of bytes between two processes, for what is too large for a call. Who sends and who receives agree on a name
 * ({@link isStreamRef}) in a call, which stays open until the stream has ended; which of them begins first does not matter.
 *
 * A sender reads its source only as far as the receiver has granted, so a stream is as slow as its reader, and bounded in
 * both processes and in Redis. Either end learns within a second that the other is gone. A stream carries nothing but its
 * bytes: how much they should be, and whether all is well with them, is for the call to say. Only the call also tells of a
 * failure before the two ends have met, so whoever waits for a stream waits for its call beside it.
 */
export class ByteStreams {
  private readonly bus: MessageBus;
  private readonly channels: Channels;
  /** By the channel they listen on. */
  private readonly open = new Map<string, StreamEnd>();
  private readonly leaving = new Set<Promise<void>>();
  private sweep: NodeJS.Timeout | undefined;
  private counting = false;
  private closed = false;

  constructor(private readonly options: ByteStreamsOptions) {
    this.bus = new EncryptedBus(options.bus, options);
    this.channels = new Channels(options.namespace);
    options.bus.onInterruption(() => this.failAll('The connection to the message bus was lost'));
  }

  /**
   * Sends all of `source` to whoever receives `ref`. Resolves when it was read there, or when its reader wanted no more.
   * The source is destroyed when it is not needed any more; one that must live on, as a request does that is still to be
   * answered, is given as `Readable.from(request.iterator({ destroyOnReturn: false }))`.
   * @throws the error of the source; then the receiver gets it too, as a call's caller would. The signal's reason when it
   * aborts. GatehouseError 503 when the receiver does not come, goes away, or nothing moves for a minute.
   */
  send(ref: string, source: Readable, signal?: AbortSignal): Promise<StreamSent> {
    return new OutgoingStream(source, this.endOf(ref, this.channels.streamCredit(ref), this.channels.streamData(ref)), signal).sent;
  }

  /**
   * The bytes that are sent as `ref`. Destroying it, or aborting the signal, stops the sender. It errors with what the
   * sender's source failed with (an error that is no GatehouseError stays there and is `internal_error` here), or with a
   * GatehouseError 503 when the sender does not come, goes away, or nothing moves for a minute.
   */
  receive(ref: string, signal?: AbortSignal): Readable {
    return new IncomingStream(this.endOf(ref, this.channels.streamData(ref), this.channels.streamCredit(ref)), signal);
  }

  /** Fails what is open, and tells the other ends. */
  async close(): Promise<void> {
    this.closed = true;
    this.failAll('This process stops');
    // A bus that is away tells nobody, and what was subscribed went with it.
    if (this.bus.state === 'up') await Promise.all(this.leaving);
  }

  private endOf(ref: string, own: string, peer: string): StreamEnd {
    const { logger, streamArrivalMs: arrivalMs = 10_000, streamStallMs: stallMs = 60_000 } = this.options;
    const refusal = this.refusal(ref, own);
    const end = new StreamEnd({ bus: this.bus, logger, own, peer, arrivalMs, stallMs, refusal, onClose: gone => this.ended(own, gone) });
    if (refusal !== null) return end;
    this.open.set(own, end);
    this.sweep ??= setInterval(() => this.look(), SWEEP_MS);
    return end;
  }

  private refusal(ref: string, own: string): GatehouseError | null {
    const { streamsMax = 256 } = this.options;
    if (this.closed) return unavailable(new Error('This process stops'));
    if (!isStreamRef(ref)) return internalError(new TypeError('A stream is named by a version 4 uuid'));
    if (this.open.has(own)) return internalError(new Error('There is a stream of this name already'));
    if (this.bus.state === 'down') return unavailable(new Error('The message bus is down'));
    return this.open.size < streamsMax ? null : unavailable(new Error(`${streamsMax} streams are open already`), 1);
  }

  private ended(own: string, gone: Promise<void>): void {
    this.open.delete(own);
    if (this.open.size === 0) {
      clearInterval(this.sweep);
      this.sweep = undefined;
    }
    this.leaving.add(gone);
    void gone.finally(() => this.leaving.delete(gone));
  }

  /** Time passes for all streams at once, and the other ends are counted in one question. */
  private look(): void {
    for (const end of [...this.open.values()]) end.tick();
    if (!this.counting) void this.countPeers();
  }

  private async countPeers(): Promise<void> {
    const ends = [...this.open.values()];
    if (ends.length === 0) return;
    this.counting = true;
    const met = ends.map(({ hasMet }) => hasMet);
    try {
      const counts = await this.bus.receivers(ends.map(({ peer }) => peer));
      for (const [index, end] of ends.entries()) end.count(counts[index] ?? 0, met[index] === true);
    } catch {
      // The bus is down: it says so itself, and then all streams fail.
    } finally {
      this.counting = false;
    }
  }

  private failAll(because: string): void {
    for (const end of [...this.open.values()]) end.fail(new Error(because));
  }
}
