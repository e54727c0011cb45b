import { randomUUID } from 'node:crypto';
import type { Caller } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { makeCaller, runTokenFor, type TestVault } from '../../testing/test-vault.js';
import { KeyRotationStore, type WrappedRow } from '../key-rotation.store.js';

/** Other specs use the same tables: only the keys of this one are looked at, three rows at a time. */
export class StoreOfKeys extends KeyRotationStore {
  constructor(
    private readonly own: Database,
    private readonly ours: readonly string[],
  ) {
    super(own);
  }

  override async wrappedByOthers(currentKeyId: string, afterId: string, _count: number): Promise<WrappedRow[]> {
    const keys = this.ours.filter(key => key !== currentKeyId);
    return this.own.$queryRaw<WrappedRow[]>`
      SELECT id, key_id AS "keyId", wrapped_dek AS "wrappedDek" FROM vault.credentials WHERE key_id = ANY(${keys}::text[]) AND id > ${afterId}::uuid ORDER BY id LIMIT 3`;
  }
}

/** A key id of one test. */
export const unique = (name: string): string => `${name}-${randomUUID()}`;

export const countUnder = async (database: Database, key: string): Promise<number> => (await new KeyRotationStore(database).countByKey())[key] ?? 0;

/** A vault of bearer credentials: `token-0` for `https://s0.example.com/`, and so on. */
export const filled = async (on: TestVault, count: number): Promise<{ caller: Caller; vaultId: string; ids: string[]; runToken: string }> => {
  const caller = makeCaller();
  const { id: vaultId } = await on.vault(caller);
  const made = await Promise.all(Array.from({ length: count }, (_, index) => on.credential(caller, vaultId, { type: 'bearer', token: `token-${index}` }, { serverUrl: `https://s${index}.example.com/` })));
  return { caller, vaultId, ids: made.map(({ id }) => id), runToken: await runTokenFor(caller, [vaultId]) };
};
