import type { ClientRequest, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { Deadline } from './deadline.js';
import { DriverError } from './driver-error.js';

/** A trailer: what was sent is not all there was to be. A connection that only broke off would tell nobody when its traces are gone. */
const INCOMPLETE = { 'gatehouse-incomplete': '1' };

/**
 * The body of a request as far as its source goes. The time runs while the agent is waited for, and not while the source is.
 * Nothing is thrown: a request that fails says so itself, and a source that fails is told by `failure`. Whoever began it destroys the source.
 */
export class SentContent {
  bytes = 0;
  complete = false;
  /** Why the source has no more, where it has not come to its end. */
  failure: { reason: unknown } | undefined;

  constructor(private readonly source: Readable) {}

  async into(request: ClientRequest, deadline: Deadline): Promise<void> {
    let answered = false;
    let wake: () => void = () => undefined;
    request.on('drain', () => wake());
    request.once('response', () => {
      answered = true; // a refusal: from now on its own end is waited for
      deadline.restart();
      wake();
    });
    request.once('close', () => wake());
    deadline.clear();
    try {
      for await (const chunk of this.source as AsyncIterable<Uint8Array | string>) {
        this.bytes += Buffer.byteLength(chunk);
        if (request.write(chunk) || request.destroyed) continue;
        deadline.restart();
        await new Promise<void>(resolve => (wake = resolve));
        if (answered) return;
        deadline.clear();
      }
      this.complete = true;
    } catch (reason) {
      if (answered || request.destroyed) return;
      this.failure = { reason };
      request.addTrailers(INCOMPLETE);
    }
    if (!answered) deadline.restart();
    request.end();
  }
}

/** The body of an answer that was promised to have `size` bytes. It fails when it has not, or when it stops coming while somebody waits for it. */
export class ReceivedContent extends Readable {
  private missing: number;
  private readonly deadline: Deadline;

  constructor(
    private readonly response: IncomingMessage,
    size: number,
    timeoutMs: number,
  ) {
    super();
    this.missing = size;
    this.deadline = new Deadline(timeoutMs);
    this.deadline.clear();
    this.deadline.onPass(error => this.destroy(error));
    const broken = (cause?: Error) => this.destroy(new DriverError('unavailable', 'The content of the file broke off', cause));
    response.pause();
    response.on('data', (chunk: Buffer) => this.pass(chunk));
    response.on('error', broken).on('close', () => this.missing > 0 && broken());
    response.on('end', () => (this.missing > 0 ? broken() : this.push(null)));
  }

  override _read(): void {
    this.deadline.restart();
    this.response.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.deadline.clear();
    this.response.destroy();
    done(error);
  }

  private pass(chunk: Buffer): void {
    this.missing -= chunk.length; // never below zero: the parser of the answer counts as well
    if (this.push(chunk)) this.deadline.restart();
    else this.hold();
  }

  private hold(): void {
    this.deadline.clear();
    this.response.pause();
  }
}
