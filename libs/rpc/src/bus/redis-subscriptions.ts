import type { Redis } from 'ioredis';
import type { BusListener, BusState } from './message-bus.js';
import { cutConnection, withoutArguments } from './redis-connection.js';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** The connection that listens. Its subscriptions survive the loss of it; the messages of the meantime do not. */
export class RedisSubscriptions {
  private readonly listeners = new Map<string, Set<BusListener>>();
  /** What is subscribed again on a new connection. */
  private readonly wanted = new Set<string>();
  private readonly waiters: Waiter[] = [];
  private current: BusState = 'connecting';
  private closed = false;

  constructor(
    private readonly connection: Redis,
    private readonly onInterruption: () => void,
  ) {
    connection.on('ready', () => void this.resubscribe());
    connection.on('close', () => this.interrupted());
    connection.on('messageBuffer', (channel: Buffer, message: Buffer) => {
      for (const listener of this.listeners.get(channel.toString()) ?? []) listener(message);
    });
  }

  /** `up` only while all that is wanted is subscribed. */
  get state(): BusState {
    return this.current;
  }

  async subscribe(channel: string, listener: BusListener): Promise<() => Promise<void>> {
    if (this.closed) throw new Error(CLOSED);
    const listeners = this.listeners.get(channel) ?? new Set();
    this.listeners.set(channel, listeners.add(listener));
    this.wanted.add(channel);
    if (this.connection.status !== 'ready') await this.nextResubscription();
    else await this.connection.subscribe(channel).catch(() => this.startOver());
    return () => this.unsubscribe(channel, listener);
  }

  /** Asked on this connection, which RESP3 allows: the answer comes after all messages that were sent before it. */
  async receivers(channels: readonly string[]): Promise<number[]> {
    const answer = (await this.connection.pubsub('NUMSUB', ...channels).catch(withoutArguments)) as (string | number)[];
    return channels.map((_channel, index) => Number(answer[index * 2 + 1]));
  }

  close(): void {
    this.closed = true;
    for (const { reject } of this.waiters.splice(0)) reject(new Error(CLOSED));
    this.connection.disconnect();
  }

  private async unsubscribe(channel: string, listener: BusListener): Promise<void> {
    const listeners = this.listeners.get(channel);
    if (listeners?.has(listener) !== true) return;
    if (listeners.size > 1) {
      listeners.delete(listener);
      return;
    }
    this.wanted.delete(channel);
    // The listener stays until Redis has agreed, for what was sent before that. A connection that fails here takes its
    // subscriptions with it.
    if (this.connection.status === 'ready') await this.connection.unsubscribe(channel).catch(() => cutConnection(this.connection));
    this.listeners.delete(channel);
  }

  private async resubscribe(): Promise<void> {
    try {
      if (this.wanted.size > 0) await this.connection.subscribe(...this.wanted);
    } catch {
      // A connection without its subscriptions is worth nothing; the next one comes through here again.
      cutConnection(this.connection);
      return;
    }
    this.current = 'up';
    for (const { resolve } of this.waiters.splice(0)) resolve();
  }

  private nextResubscription(): Promise<void> {
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  private startOver(): Promise<void> {
    if (this.closed) throw new Error(CLOSED);
    cutConnection(this.connection);
    return this.nextResubscription();
  }

  private interrupted(): void {
    this.current = 'down';
    this.onInterruption();
  }
}

const CLOSED = 'The bus is closed';
