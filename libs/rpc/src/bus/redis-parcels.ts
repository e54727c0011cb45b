import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { withoutArguments } from './redis-connection.js';

/** Longer messages travel as parcels. Redis drops a subscriber whose unread messages add up to its output buffer limit. */
export const INLINE_CHARACTERS_MAX = 64 * 1024;

/** Long enough for any receiver that is alive; what nobody collects is gone by itself. */
const KEPT_MS = 60_000;

const keyPrefix = (channel: string): string => `${channel}:parcel:`;
const SLIP = '@';

/**
 * Claim checks: a large message is left under a key of its own, and only a slip with that key is published. They have a
 * connection of their own, so that small messages never wait behind a large one; it is made when the first one comes.
 */
export class RedisParcels {
  private connection: Redis | undefined;
  private readonly collecting = new Set<Promise<void>>();

  constructor(private readonly connect: () => Redis) {}

  /** Leaves a message; resolves to the slip to publish in its place. */
  async leave(channel: string, message: string): Promise<string> {
    const key = `${keyPrefix(channel)}${randomUUID()}`;
    await this.redis.set(key, message, 'PX', KEPT_MS).catch(withoutArguments);
    return `${SLIP}${key}`;
  }

  /** Nobody got the slip. */
  async discard(slip: string): Promise<void> {
    await this.redis.del(slip.slice(SLIP.length)).catch(withoutArguments);
  }

  /** A slip for this channel? Others are not followed: what a message names must not decide which keys are read. */
  isSlip(channel: string, message: string): boolean {
    return message.startsWith(`${SLIP}${keyPrefix(channel)}`);
  }

  /** Hands the message to `deliver`, once. A parcel that is gone was collected by nobody in time. */
  collect(slip: string, deliver: (message: string) => void, onLost: (error: unknown) => void): void {
    const collected = this.take(slip).then(message => (message === null ? onLost(new Error('The message is no longer kept')) : deliver(message)), onLost);
    this.collecting.add(collected);
    void collected.finally(() => this.collecting.delete(collected));
  }

  /** Resolves when everything whose slip has come so far is delivered. */
  async collected(): Promise<void> {
    await Promise.all(this.collecting);
  }

  close(): void {
    this.connection?.disconnect();
  }

  private async take(slip: string): Promise<string | null> {
    return this.redis.getdel(slip.slice(SLIP.length)).catch(withoutArguments);
  }

  private get redis(): Redis {
    return (this.connection ??= this.connect());
  }
}
