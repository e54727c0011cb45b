import { EnvelopeBroken, type KeyRing } from '@gatehouse/sealing';
import type { KeyRotationStore, Rewrapped, WrappedRow } from './key-rotation.store.js';

export interface RotationProgress {
  readonly rewrapped: number;
  /** Wrapped by a key that is not on the ring, or damaged. */
  readonly unreadable: number;
}

const BATCH = 500;
/** A row that is just being changed is passed over; some later pass meets it free. */
const PASSES_MAX = 20;
const FIRST_ID = '00000000-0000-0000-0000-000000000000';

/**
 * Brings every secret under the ring's current key: the keys of secrets are wrapped anew, the secrets themselves are not
 * touched. What is done is seen from the rows, so after a crash the next run goes on where this one ended.
 * @param signal ends it between two batches
 */
export const rewrapSecrets = async (store: KeyRotationStore, keyRing: KeyRing, report: (progress: RotationProgress) => Promise<void>, signal: AbortSignal): Promise<RotationProgress> => {
  let rewrapped = 0;
  let unreadable = 0;
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    let passedOver = 0;
    let after = FIRST_ID;
    unreadable = 0;
    for (;;) {
      signal.throwIfAborted();
      const rows = await store.wrappedByOthers(keyRing.currentId, after, BATCH);
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.id;
      const readable = (await Promise.all(rows.map(row => rewrap(keyRing, row)))).filter(row => row !== null);
      const written = readable.length === 0 ? 0 : await store.rewrap(keyRing.currentId, readable);
      rewrapped += written;
      passedOver += readable.length - written;
      unreadable += rows.length - readable.length;
      await report({ rewrapped, unreadable });
    }
    if (passedOver === 0) return { rewrapped, unreadable };
  }
  throw new Error('some credentials were being changed each time they were looked at');
};

const rewrap = async (keyRing: KeyRing, { id, keyId, wrappedDek }: WrappedRow): Promise<Rewrapped | null> => {
  let dek: Buffer;
  try {
    dek = await keyRing.unwrap({ keyId, wrappedDek: Buffer.from(wrappedDek) });
  } catch (error) {
    if (error instanceof EnvelopeBroken) return null;
    throw error;
  }
  try {
    return { id, before: wrappedDek, after: (await keyRing.wrap(dek)).wrappedDek };
  } finally {
    dek.fill(0);
  }
};
