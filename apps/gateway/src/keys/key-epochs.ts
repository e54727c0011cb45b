import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';

/**
 * A key's epoch changes whenever its row does. Every request learns the current one in the same round trip that charges
 * its rate limits, so a process that still holds the old row notices on the very next request.
 */
export const epochKey = (namespace: string, secretHash: Buffer): string => `${namespace}:gateway:key-epoch:${secretHash.toString('base64url')}`;

/** Longer than any process keeps a row; after that nobody can hold one from before the change. */
const EPOCH_KEPT_SECONDS = 3_600;

/** Tells every gateway process that the row has changed. Call it after the change is committed. */
export const advanceEpoch = async (redis: Redis, namespace: string, secretHash: Buffer): Promise<void> => {
  await redis.set(epochKey(namespace, secretHash), randomBytes(9).toString('base64url'), 'EX', EPOCH_KEPT_SECONDS);
};
