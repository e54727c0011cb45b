import { Redis, type RedisOptions } from 'ioredis';
import { QuietLog, type RpcLogger } from '../logger.js';
import type { BusListener, BusState, MessageBus } from './message-bus.js';

export interface RedisBusOptions {
  /** `redis://` or `rediss://`. */
  readonly url: string;
  readonly logger: RpcLogger;
  /** A command unanswered for so long has failed. */
  readonly commandTimeoutMs?: number;
  /** How often the subscriber makes sure that its connection is alive: half-open TCP says nothing by itself. */
  readonly heartbeatMs?: number;
}

const RETRY_MS_MAX = 1_000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/**
 * A bus on Redis' publish and subscribe. Two connections: one sends commands and never queues them, so that a dead Redis is
 * an error at once; the other listens. Both reconnect for ever.
 */
export class RedisBus implements MessageBus {
  private readonly commands: Redis;
  private readonly subscriber: Redis;
  /** What is subscribed again after a reconnection. */
  private readonly wanted = new Set<string>();
  private readonly listeners = new Map<string, Set<BusListener>>();
  private readonly interruptionListeners: (() => void)[] = [];
  private waiters: Waiter[] = [];
  private readonly heartbeat: NodeJS.Timeout;
  /** Ends with the first attempt of the commands connection, whatever its outcome. */
  private readonly firstAttempt: Promise<void>;
  private commandsState: BusState = 'connecting';
  private subscriberState: BusState = 'connecting';
  private closed = false;

  constructor({ url, logger, commandTimeoutMs = 2_000, heartbeatMs = 5_000 }: RedisBusOptions) {
    const options: RedisOptions = {
      connectionName: 'gatehouse-rpc',
      connectTimeout: 2_000,
      commandTimeout: commandTimeoutMs,
      // Nothing waits for a connection and nothing is sent twice: a command whose answer got lost may have been carried out.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      // Done here, because `up` must mean that the subscriptions stand.
      autoResubscribe: false,
      retryStrategy: attempt => Math.min(50 * attempt, RETRY_MS_MAX),
    };
    this.commands = new Redis(url, options);
    this.subscriber = new Redis(url, options);

    const trouble = new QuietLog((fields, message) => logger.warn(fields, message));
    const report = (error: Error): void => trouble.line({ reason: error.message }, 'Redis connection failed');
    this.commands.on('error', report);
    this.firstAttempt = new Promise(resolve => {
      this.commands.on('ready', () => {
        this.commandsState = 'up';
        resolve();
      });
      this.commands.on('close', () => {
        this.commandsState = 'down';
        resolve();
      });
    });
    this.subscriber.on('error', report);
    this.subscriber.on('ready', () => void this.resubscribe());
    this.subscriber.on('close', () => this.interrupted());
    this.subscriber.on('message', (channel: string, message: string) => {
      for (const listener of this.listeners.get(channel) ?? []) listener(message);
    });
    this.heartbeat = setInterval(() => void this.beat(), heartbeatMs);
    this.heartbeat.unref();
  }

  get state(): BusState {
    if (this.commandsState === this.subscriberState) return this.commandsState;
    return this.commandsState === 'down' || this.subscriberState === 'down' ? 'down' : 'connecting';
  }

  publish(channel: string, message: string): Promise<number> {
    return this.command(() => this.commands.publish(channel, message));
  }

  async subscribe(channel: string, listener: BusListener): Promise<() => Promise<void>> {
    const listeners = this.listeners.get(channel) ?? new Set();
    this.listeners.set(channel, listeners.add(listener));
    this.wanted.add(channel);
    if (this.subscriber.status === 'ready') await this.subscriber.subscribe(channel).catch(() => this.resubscription(true));
    else await this.resubscription();
    return () => this.unsubscribe(channel, listener);
  }

  async channels(prefix: string): Promise<string[]> {
    return (await this.command(() => this.commands.pubsub('CHANNELS', `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`))) as string[];
  }

  /** Asked on the subscriber's own connection, which RESP3 allows: the answer comes after all messages sent before it. */
  async receivers(channels: readonly string[]): Promise<number[]> {
    const answer = (await this.subscriber.pubsub('NUMSUB', ...channels).catch(withoutArguments)) as (string | number)[];
    return channels.map((_channel, index) => Number(answer[index * 2 + 1]));
  }

  onInterruption(listener: () => void): void {
    this.interruptionListeners.push(listener);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearInterval(this.heartbeat);
    for (const { reject } of this.waiters.splice(0)) reject(new Error('The bus is closed'));
    this.commands.disconnect();
    this.subscriber.disconnect();
  }

  private command<T>(send: () => Promise<T>): Promise<T> {
    return (this.commandsState === 'connecting' ? this.firstAttempt.then(send) : send()).catch(withoutArguments);
  }

  private async unsubscribe(channel: string, listener: BusListener): Promise<void> {
    const listeners = this.listeners.get(channel);
    if (listeners?.has(listener) !== true) return;
    if (listeners.size > 1) {
      listeners.delete(listener);
      return;
    }
    this.wanted.delete(channel);
    // The listener stays until Redis has agreed: what was sent before that still arrives. A connection that fails here
    // takes its subscriptions with it.
    if (this.subscriber.status === 'ready') await this.subscriber.unsubscribe(channel).catch(() => this.reconnect());
    this.listeners.delete(channel);
  }

  private async resubscribe(): Promise<void> {
    try {
      if (this.wanted.size > 0) await this.subscriber.subscribe(...this.wanted);
    } catch {
      // A connection without its subscriptions is worth nothing; the next one comes through here again.
      this.reconnect();
      return;
    }
    this.subscriberState = 'up';
    for (const { resolve } of this.waiters.splice(0)) resolve();
  }

  private resubscription(onNewConnection = false): Promise<void> {
    if (this.closed) return Promise.reject(new Error('The bus is closed'));
    if (onNewConnection) this.reconnect();
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  private interrupted(): void {
    this.subscriberState = 'down';
    for (const listener of this.interruptionListeners) listener();
  }

  private async beat(): Promise<void> {
    if (this.subscriberState !== 'up') return;
    await this.subscriber.ping().catch(() => this.reconnect());
  }

  private reconnect(): void {
    if (!this.closed) this.subscriber.disconnect(true);
  }
}

/** Errors of ioredis carry the command with its arguments, which must not reach a log. */
const withoutArguments = (error: Error): never => {
  throw new Error(`Redis: ${error.message}`);
};
