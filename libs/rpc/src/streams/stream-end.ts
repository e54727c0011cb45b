import { type GatehouseError, unavailable } from '@gatehouse/contracts';
import type { MessageBus } from '../bus/message-bus.js';
import type { RpcLogger } from '../logger.js';
import { type Frame, encodeFrame } from './frames.js';

/** What a stream does with what happens to its end. */
export interface StreamPart {
  /** Must not throw. */
  hear(message: Buffer): void;
  /** To end the stream with this reason. Nothing more is heard after {@link StreamEnd.close}. */
  fail(reason: GatehouseError): void;
  /** Comes a few times per second. */
  tick?(): void;
}

export interface StreamEndOptions {
  readonly bus: MessageBus;
  readonly logger: RpcLogger;
  /** Channel on which this end hears the other. */
  readonly own: string;
  /** Channel on which the other end hears this one. */
  readonly peer: string;
  /** How long the other end may take to come. */
  readonly arrivalMs: number;
  /** How long nothing may move. */
  readonly stallMs: number;
  /** Why it may not open at all. */
  readonly refusal: GatehouseError | null;
  /** It was closed; resolves when nothing of it is left on the bus. */
  readonly onClose: (gone: Promise<void>) => void;
}

/** One end of one stream on the bus, with what both ends have in common: a greeting, an eye on the other end, a farewell. */
export class StreamEnd {
  private part: StreamPart | undefined;
  private subscription: Promise<() => Promise<void>> | undefined;
  private readonly openedAt = performance.now();
  private progressedAt = this.openedAt;
  /** The other end is, or was, there. */
  private met = false;
  private closed = false;

  constructor(private readonly options: StreamEndOptions) {}

  get peer(): string {
    return this.options.peer;
  }

  get hasMet(): boolean {
    return this.met;
  }

  /**
   * Listens, then greets. Each end does so in this order, whichever is first: so at least one greeting is heard.
   */
  open(part: StreamPart, greeting: Frame): void {
    const { bus, own, refusal } = this.options;
    if (refusal !== null) return part.fail(refusal);
    this.part = part;
    this.subscription = bus.subscribe(
      own,
      message => {
        if (!this.closed) part.hear(message);
      },
      reason => this.fail(reason),
    );
    this.subscription.then(
      () => this.say(greeting),
      (error: unknown) => this.fail(error),
    );
  }

  say(frame: Frame): void {
    if (this.closed) return;
    this.options.bus
      .publish(this.peer, encodeFrame(frame))
      .then(receivers => (receivers > 0 ? this.meet() : this.met ? this.lookForPeer() : undefined))
      .catch((error: unknown) => this.fail(error));
  }

  meet(): void {
    this.met = true;
  }

  progress(): void {
    this.progressedAt = performance.now();
  }

  tick(): void {
    const now = performance.now();
    if (!this.met && now - this.openedAt > this.options.arrivalMs) this.fail(new Error('The other end of the stream never came'));
    else if (now - this.progressedAt > this.options.stallMs) this.fail(new Error('The stream stood still for too long'));
    else if (!this.closed) this.part?.tick?.();
  }

  /**
   * @param receivers who listen on {@link peer}, counted as {@link MessageBus.receivers} does: what was said before is heard
   * @param metBefore whether the other end was there when the question was asked: one that has come since was not counted
   */
  count(receivers: number, metBefore: boolean): void {
    if (receivers > 0) this.meet();
    else if (metBefore) this.fail(new Error('The other end of the stream is gone'));
  }

  fail(reason: unknown): void {
    if (!this.closed) this.part?.fail(unavailable(reason));
  }

  /** Says farewell, then hears nothing more. */
  close(farewell?: Frame): void {
    if (this.closed) return;
    this.closed = true;
    if (this.options.refusal !== null) return;
    this.options.onClose(this.leave(farewell));
  }

  private async leave(farewell: Frame | undefined): Promise<void> {
    const { bus, logger } = this.options;
    if (this.subscription === undefined) return;
    try {
      // Its publication is confirmed before the subscription ends: who counts this end as gone has heard it.
      if (farewell !== undefined) await bus.publish(this.peer, encodeFrame(farewell));
    } catch (error) {
      logger.debug({ err: error }, 'End of a stream not told to the other end');
    }
    try {
      await (await this.subscription)();
    } catch (error) {
      logger.debug({ err: error }, 'Subscription of a stream ended with its bus');
    }
  }

  /** A message went to nobody. A farewell may be on its way, and counts. */
  private async lookForPeer(): Promise<void> {
    const [receivers = 0] = await this.options.bus.receivers([this.peer]);
    this.count(receivers, true);
  }
}
