import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';

/**
 * A key's epoch changes whenever its row does. Every request learns the current one in the same round trip that charges
 * its rate limits, so a process that still holds the old row notices on the very next request.
 *
 * It is the store's mark and what was written when the key last changed, together. A store that has lost its data gets
 * another mark, and with it every key another epoch: nothing that was known before passes for current.
 */
export interface EpochKeys {
  readonly mark: string;
  readonly change: string;
}

export const epochKeys = (namespace: string, secretHash: Buffer): EpochKeys => ({
  mark: `${namespace}:gateway:key-epochs`,
  change: `${namespace}:gateway:key-epoch:${secretHash.toString('base64url')}`,
});

/** Where no key is concerned. */
export const noEpoch = (namespace: string): EpochKeys => epochKeys(namespace, Buffer.alloc(0));

export const joinEpoch = (mark: string, change: string | null): string => `${mark}/${change ?? ''}`;

/** Longer than any process keeps a row; after that nobody can hold one from before the change. */
const CHANGE_KEPT_SECONDS = 3_600;

/** Undefined when the store is away, or has no mark yet. */
export const readEpoch = async (redis: Redis, namespace: string, secretHash: Buffer): Promise<string | undefined> => {
  const { mark, change } = epochKeys(namespace, secretHash);
  const [known = null, changed = null] = await redis.mget(mark, change).catch(() => []);
  return known === null ? undefined : joinEpoch(known, changed);
};

/** Tells every gateway process that the row has changed. Call it after the change is committed. */
export const advanceEpoch = async (redis: Redis, namespace: string, secretHash: Buffer): Promise<void> => {
  await redis.set(epochKeys(namespace, secretHash).change, newMark(), 'EX', CHANGE_KEPT_SECONDS);
};

export const newMark = (): string => randomBytes(9).toString('base64url');
