/** Takes a channel's messages. Must not throw. */
export type BusListener = (message: Buffer) => void;

/**
 * Whether messages come and go right now. `connecting` only until the first attempt has ended; `down` heals by itself.
 */
export type BusState = 'connecting' | 'up' | 'down';

/**
 * What RPC needs of a message broker: fire-and-forget channels that know their receivers. Delivery is at most once; nothing
 * is kept for a receiver that is away.
 */
export interface MessageBus {
  readonly state: BusState;

  /** Number of receivers that got it: 0 means nobody listens. Rejects at once while the bus is down, waits while it is connecting. */
  publish(channel: string, message: Buffer): Promise<number>;

  /**
   * Resolves, when the subscription stands, to what ends it. Waits as long as the bus is away; stands again by itself afterwards.
   * @param onLost called when something is known to have come for the channel and could not be fetched
   */
  subscribe(channel: string, listener: BusListener, onLost?: (reason: Error) => void): Promise<() => Promise<void>>;

  /** Channels with this prefix that somebody listens to. */
  channels(prefix: string): Promise<string[]>;

  /**
   * Receivers per channel, in the order asked. Every message published before the count was taken has reached this
   * process's listeners when the promise resolves, so a silent channel with an open question will stay silent.
   */
  receivers(channels: readonly string[]): Promise<number[]>;

  /** Called whenever subscriptions were lost, and messages perhaps with them. */
  onInterruption(listener: () => void): void;

  /** Ends all subscriptions and connections. */
  close(): Promise<void>;
}
