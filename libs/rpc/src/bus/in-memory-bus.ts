import type { BusListener, BusState, MessageBus } from './message-bus.js';

/** Connects the {@link InMemoryBus}es of a test, as one Redis server connects processes. */
export class InMemoryBroker {
  private readonly listeners = new Map<string, Set<BusListener>>();

  /** Delivers in order, never within the publisher's own call. */
  publish(channel: string, message: Buffer): number {
    const receivers = this.listeners.get(channel) ?? new Set();
    for (const listener of receivers) queueMicrotask(() => listener(message));
    return receivers.size;
  }

  add(channel: string, listener: BusListener): void {
    const receivers = this.listeners.get(channel) ?? new Set();
    this.listeners.set(channel, receivers.add(listener));
  }

  remove(channel: string, listener: BusListener): void {
    const receivers = this.listeners.get(channel);
    receivers?.delete(listener);
    if (receivers?.size === 0) this.listeners.delete(channel);
  }

  channels(): string[] {
    return [...this.listeners.keys()];
  }

  receivers(channel: string): number {
    return this.listeners.get(channel)?.size ?? 0;
  }
}

/**
 * A bus without a server, for tests: one per process that the test plays. Everything above it (codec, sealing, routing,
 * deadlines) is the code that runs on Redis. Closing it without draining is what `kill -9` is to a real process.
 */
export class InMemoryBus implements MessageBus {
  private readonly own = new Map<BusListener, string>();
  state: BusState = 'up';

  constructor(private readonly broker: InMemoryBroker = new InMemoryBroker()) {}

  async publish(channel: string, message: Buffer): Promise<number> {
    this.requireOpen();
    return this.broker.publish(channel, message);
  }

  async subscribe(channel: string, listener: BusListener): Promise<() => Promise<void>> {
    this.requireOpen();
    // Wrapped, so that messages already on their way to a closed bus are lost, as they are to a dead process.
    const guarded: BusListener = message => {
      if (this.state === 'up') listener(message);
    };
    this.own.set(guarded, channel);
    this.broker.add(channel, guarded);
    return async () => {
      this.own.delete(guarded);
      this.broker.remove(channel, guarded);
    };
  }

  async channels(prefix: string): Promise<string[]> {
    this.requireOpen();
    return this.broker.channels().filter(channel => channel.startsWith(prefix));
  }

  async receivers(channels: readonly string[]): Promise<number[]> {
    this.requireOpen();
    const counts = channels.map(channel => this.broker.receivers(channel));
    // What was published before has its microtasks queued before this one.
    await Promise.resolve();
    return counts;
  }

  onInterruption(): void {
    // Memory is never interrupted.
  }

  async close(): Promise<void> {
    this.state = 'down';
    for (const [listener, channel] of this.own) this.broker.remove(channel, listener);
    this.own.clear();
  }

  private requireOpen(): void {
    if (this.state !== 'up') throw new Error('The bus is closed');
  }
}
