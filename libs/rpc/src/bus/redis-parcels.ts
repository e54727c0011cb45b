import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { withoutArguments } from './redis-connection.js';

/** Longer messages travel as parcels. Redis drops a subscriber whose unread messages add up to its output buffer limit. */
export const INLINE_BYTES_MAX = 64 * 1024;

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
  async leave(channel: string, message: Buffer): Promise<Buffer> {
    const key = `${keyPrefix(channel)}${randomUUID()}`;
    await this.redis.set(key, message, 'PX', KEPT_MS).catch(withoutArguments);
    return Buffer.from(`${SLIP}${key}`);
  }

  /** Nobody got the slip. */
  async discard(slip: Buffer): Promise<void> {
    await this.redis.del(slip.subarray(SLIP.length)).catch(withoutArguments);
  }

  /** A slip for this channel? Others are not followed: what a message names must not decide which keys are read. */
  isSlip(channel: string, message: Buffer): boolean {
    if (message[0] !== SLIP.charCodeAt(0)) return false;
    const head = Buffer.from(`${SLIP}${keyPrefix(channel)}`);
    return head.equals(message.subarray(0, head.length));
  }

  /**
   * Hands the message to `deliver`, once.
   * @param onGone no such parcel: collected by nobody in time, or never left, since anyone can write a slip
   * @param onLost Redis could not be asked for it
   */
  collect(slip: Buffer, deliver: (message: Buffer) => void, onGone: () => void, onLost: (reason: Error) => void): void {
    const collected = this.take(slip).then(message => (message === null ? onGone() : deliver(message)), onLost);
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

  private async take(slip: Buffer): Promise<Buffer | null> {
    return this.redis.getdelBuffer(slip.subarray(SLIP.length)).catch(withoutArguments);
  }

  private get redis(): Redis {
    return (this.connection ??= this.connect());
  }
}
