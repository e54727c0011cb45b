import { EnvelopeBroken, type KeyRing, rewrapKey } from '@gatehouse/sealing';
import { setTimeout as delay } from 'node:timers/promises';
import type { KeyRotationStore, Rewrapped, WrappedRow } from './key-rotation.store.js';

export interface RotationProgress {
  readonly rewrapped: number;
  /** Wrapped by a key that is not on the ring, or damaged. */
  readonly unreadable: number;
}

const BATCH = 500;
/** A row that is just being changed is passed over; with its pauses, some later pass of a minute meets it free. */
const PASSES_MAX = 20;
const pauseMs = (pass: number): number => Math.min(50 * 2 ** pass, 5_000);
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/**
 * Brings every secret under the ring's current key: the keys of secrets are wrapped anew, the secrets themselves are not
 * touched. What is done is seen from the rows, so after a crash the next run goes on where this one ended.
 * @param signal ends it between two batches, and in a pause
 */
export const rewrapSecrets = async (store: KeyRotationStore, keyRing: KeyRing, report: (progress: RotationProgress) => Promise<void>, signal: AbortSignal): Promise<RotationProgress> => {
  const { currentId } = keyRing;
  let rewrapped = 0;
  let unreadable = 0;
  let passedOver: string[] = [];
  const take = async (rows: readonly WrappedRow[]): Promise<void> => {
    const readable = (await Promise.all(rows.map(row => rewrap(keyRing, row)))).filter(row => row !== null);
    const replaced = readable.length === 0 ? new Set() : await store.rewrap(currentId, readable);
    rewrapped += replaced.size;
    unreadable += rows.length - readable.length;
    passedOver.push(...readable.map(({ id }) => id).filter(id => !replaced.has(id)));
    await report({ rewrapped, unreadable });
  };

  for (let after: string | undefined = FIRST_ID; after !== undefined; ) {
    signal.throwIfAborted();
    const rows: WrappedRow[] = await store.wrappedByOthers(currentId, after, BATCH);
    if (rows.length > 0) await take(rows);
    after = rows.at(-1)?.id;
  }
  for (let pass = 0; passedOver.length > 0; pass++) {
    if (pass === PASSES_MAX) throw new Error('some credentials were being changed each time they were looked at');
    await delay(pauseMs(pass), undefined, { signal });
    const again = passedOver;
    passedOver = [];
    for (let from = 0; from < again.length; from += BATCH) {
      signal.throwIfAborted();
      await take(await store.stillWrappedByOthers(currentId, again.slice(from, from + BATCH)));
    }
  }
  return { rewrapped, unreadable };
};

const rewrap = async (keyRing: KeyRing, { id, keyId, wrappedDek: before }: WrappedRow): Promise<Rewrapped | null> => {
  try {
    return { id, before, after: (await rewrapKey(keyRing, { keyId, wrappedDek: Buffer.from(before) })).wrappedDek };
  } catch (error) {
    if (error instanceof EnvelopeBroken) return null;
    throw error;
  }
};
