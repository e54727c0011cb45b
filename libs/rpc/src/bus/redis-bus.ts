import { QuietLog, type RpcLogger } from '../logger.js';
import type { BusListener, BusState, MessageBus } from './message-bus.js';
import { RedisCommands } from './redis-commands.js';
import { openConnection } from './redis-connection.js';
import { RedisSubscriptions } from './redis-subscriptions.js';

export interface RedisBusOptions {
  /** `redis://` or `rediss://`. Redis 6 or newer (RESP3), one node: subscriptions of a cluster are not all in one table. */
  readonly url: string;
  readonly logger: RpcLogger;
  /** A command unanswered for so long has failed. */
  readonly commandTimeoutMs?: number;
  /** How often a connection is tried: half-open TCP says nothing by itself. */
  readonly heartbeatMs?: number;
}

/** A bus on Redis' publish and subscribe, over two connections that reconnect for ever. */
export class RedisBus implements MessageBus {
  private readonly commands: RedisCommands;
  private readonly subscriptions: RedisSubscriptions;
  private readonly interruptionListeners: (() => void)[] = [];

  constructor({ url, logger, commandTimeoutMs = 2_000, heartbeatMs = 5_000 }: RedisBusOptions) {
    const options = { url, commandTimeoutMs, heartbeatMs, trouble: new QuietLog((fields, message) => logger.warn(fields, message)) };
    this.commands = new RedisCommands(openConnection({ ...options, connectionName: 'gatehouse-rpc-commands' }));
    this.subscriptions = new RedisSubscriptions(openConnection({ ...options, connectionName: 'gatehouse-rpc-subscriptions' }), () => this.interrupted());
  }

  get state(): BusState {
    const [commands, subscriptions] = [this.commands.state, this.subscriptions.state];
    if (commands === subscriptions) return commands;
    return commands === 'down' || subscriptions === 'down' ? 'down' : 'connecting';
  }

  publish(channel: string, message: string): Promise<number> {
    return this.commands.publish(channel, message);
  }

  subscribe(channel: string, listener: BusListener): Promise<() => Promise<void>> {
    return this.subscriptions.subscribe(channel, listener);
  }

  channels(prefix: string): Promise<string[]> {
    return this.commands.channels(`${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`);
  }

  receivers(channels: readonly string[]): Promise<number[]> {
    return this.subscriptions.receivers(channels);
  }

  onInterruption(listener: () => void): void {
    this.interruptionListeners.push(listener);
  }

  async close(): Promise<void> {
    this.commands.close();
    this.subscriptions.close();
  }

  private interrupted(): void {
    for (const listener of this.interruptionListeners) listener();
  }
}
