import { QuietLog, type RpcLogger } from '../logger.js';
import type { BusListener, BusState, MessageBus } from './message-bus.js';
import { RedisCommands } from './redis-commands.js';
import { openConnection } from './redis-connection.js';
import { INLINE_BYTES_MAX, RedisParcels } from './redis-parcels.js';
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

/** For a message of many megabytes, on a network that is not this machine's own. */
const PARCEL_TIMEOUT_MS = 30_000;

/** A bus on Redis' publish and subscribe, over connections that reconnect for ever. Messages of any length: see RedisParcels. */
export class RedisBus implements MessageBus {
  private readonly commands: RedisCommands;
  private readonly subscriptions: RedisSubscriptions;
  private readonly parcels: RedisParcels;
  private readonly lost: QuietLog;
  private readonly interruptionListeners: (() => void)[] = [];

  constructor({ url, logger, commandTimeoutMs = 2_000, heartbeatMs = 5_000 }: RedisBusOptions) {
    const options = { url, commandTimeoutMs, heartbeatMs, trouble: new QuietLog((fields, message) => logger.warn(fields, message)) };
    this.commands = new RedisCommands(openConnection({ ...options, connectionName: 'gatehouse-rpc-commands' }));
    this.subscriptions = new RedisSubscriptions(openConnection({ ...options, connectionName: 'gatehouse-rpc-subscriptions' }), () => this.interrupted());
    this.parcels = new RedisParcels(() => openConnection({ ...options, commandTimeoutMs: PARCEL_TIMEOUT_MS, enableOfflineQueue: true, connectionName: 'gatehouse-rpc-parcels' }));
    this.lost = new QuietLog((fields, message) => logger.warn(fields, message));
  }

  get state(): BusState {
    const [commands, subscriptions] = [this.commands.state, this.subscriptions.state];
    if (commands === subscriptions) return commands;
    return commands === 'down' || subscriptions === 'down' ? 'down' : 'connecting';
  }

  publish(channel: string, message: Buffer): Promise<number> {
    return message.length <= INLINE_BYTES_MAX ? this.commands.publish(channel, message) : this.publishParcel(channel, message);
  }

  async subscribe(channel: string, listener: BusListener, onLost?: (reason: Error) => void): Promise<() => Promise<void>> {
    const gone = (): void => this.lost.line({ channel }, 'Large message lost: it is no longer kept');
    const lost = (reason: Error): void => {
      this.lost.line({ err: reason, channel }, 'Large message lost');
      onLost?.(reason);
    };
    const unsubscribe = await this.subscriptions.subscribe(channel, message => {
      if (this.parcels.isSlip(channel, message)) this.parcels.collect(message, listener, gone, lost);
      else listener(message);
    });
    return async () => {
      await unsubscribe();
      await this.parcels.collected();
    };
  }

  channels(prefix: string): Promise<string[]> {
    return this.commands.channels(`${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`);
  }

  async receivers(channels: readonly string[]): Promise<number[]> {
    const counts = await this.subscriptions.receivers(channels);
    await this.parcels.collected();
    return counts;
  }

  onInterruption(listener: () => void): void {
    this.interruptionListeners.push(listener);
  }

  async close(): Promise<void> {
    this.commands.close();
    this.subscriptions.close();
    this.parcels.close();
  }

  private async publishParcel(channel: string, message: Buffer): Promise<number> {
    const slip = await this.parcels.leave(channel, message);
    const receivers = await this.commands.publish(channel, slip);
    if (receivers === 0) await this.parcels.discard(slip);
    return receivers;
  }

  private interrupted(): void {
    for (const listener of this.interruptionListeners) listener();
  }
}
