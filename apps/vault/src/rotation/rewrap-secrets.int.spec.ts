import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Caller, parseInput, UpdateCredential } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { type KeyRing, parseKeyRing } from '@gatehouse/sealing';
import { makeCaller, makeVault, newKey, openTestDatabase, runTokenFor, type TestVault } from '../testing/test-vault.js';
import { KeyRotationStore, type Rewrapped, type WrappedRow } from './key-rotation.store.js';
import { rewrapSecrets } from './rewrap-secrets.js';

let database: Database;
const opened: TestVault[] = [];
const open = (keyRing: KeyRing): TestVault => {
  const made = makeVault(database, { keyRing });
  opened.push(made);
  return made;
};
beforeAll(() => void (database = openTestDatabase()));
afterAll(async () => {
  for (const each of opened) await each.close();
  await database.$disconnect();
});

const never = new AbortController().signal;
const quiet = (): Promise<void> => Promise.resolve();

/** Other specs use the same tables: only the keys of this one are looked at. */
class StoreOfKeys extends KeyRotationStore {
  constructor(private readonly ours: ReadonlySet<string>) {
    super(database);
  }

  override async wrappedByOthers(currentKeyId: string, afterId: string, _count: number): Promise<WrappedRow[]> {
    const keys = [...this.ours].filter(key => key !== currentKeyId);
    return database.$queryRaw<WrappedRow[]>`
      SELECT id, key_id AS "keyId", wrapped_dek AS "wrappedDek" FROM vault.credentials WHERE key_id = ANY(${keys}::text[]) AND id > ${afterId}::uuid ORDER BY id LIMIT 3`;
  }
}

const unique = (name: string): string => `${name}-${Math.random().toString(36).slice(2)}`;
const countUnder = async (key: string): Promise<number> => (await new KeyRotationStore(database).countByKey())[key] ?? 0;

const filled = async (on: TestVault, count: number): Promise<{ caller: Caller; vaultId: string; ids: string[]; runToken: string }> => {
  const caller = makeCaller();
  const { id: vaultId } = await on.vault(caller);
  const made = await Promise.all(Array.from({ length: count }, (_, index) => on.credential(caller, vaultId, { type: 'bearer', token: `token-${index}` }, { serverUrl: `https://s${index}.example.com/` })));
  return { caller, vaultId, ids: made.map(({ id }) => id), runToken: await runTokenFor(caller, [vaultId]) };
};

describe('a rotation', () => {
  test('brings every secret under the current key, after which the old one can go', async () => {
    const [one, two] = [unique('one'), unique('two')];
    const [first, second] = [newKey(one), newKey(two)];
    const before = open(parseKeyRing(first));
    const { caller, runToken } = await filled(before, 10);
    const progress: number[] = [];
    const done = await rewrapSecrets(new StoreOfKeys(new Set([one, two])), parseKeyRing(`${second},${first}`), async ({ rewrapped }) => void progress.push(rewrapped), never);
    expect(done).toEqual({ rewrapped: 10, unreadable: 0 });
    expect(progress).toEqual([3, 6, 9, 10]);
    expect([await countUnder(one), await countUnder(two)]).toEqual([0, 10]);
    const after = open(parseKeyRing(second));
    for (let index = 0; index < 10; index++) {
      expect(await after.releases.release(caller, { runToken, url: `https://s${index}.example.com/x` })).toMatchObject({ outcome: 'released', secret: `token-${index}` });
    }
  });

  test('goes on where it was broken off', async () => {
    const [one, two] = [unique('one'), unique('two')];
    const [first, second] = [newKey(one), newKey(two)];
    await filled(open(parseKeyRing(first)), 8);
    const ring = parseKeyRing(`${second},${first}`);
    const store = new StoreOfKeys(new Set([one, two]));
    const stop = new AbortController();
    const broken = rewrapSecrets(store, ring, async () => stop.abort(new Error('killed')), stop.signal);
    await expect(broken).rejects.toThrow('killed');
    expect(await countUnder(two)).toBe(3);
    expect(await rewrapSecrets(store, ring, quiet, never)).toEqual({ rewrapped: 5, unreadable: 0 });
    expect(await countUnder(one)).toBe(0);
  });

  test('overwrites nothing that changes meanwhile', async () => {
    const [one, two] = [unique('one'), unique('two')];
    const [first, second] = [newKey(one), newKey(two)];
    const ring = parseKeyRing(`${second},${first}`);
    const on = open(parseKeyRing(`${first},${second}`));
    const { caller, vaultId, ids, runToken } = await filled(on, 3);
    class ChangedBetween extends StoreOfKeys {
      override async rewrap(currentKeyId: string, rows: readonly Rewrapped[]): Promise<number> {
        await on.credentials.update(caller, parseInput(UpdateCredential, { vaultId, credentialId: ids[0], auth: { type: 'bearer', token: 'changed' } }));
        await on.credentials.delete(caller, { vaultId, credentialId: ids[1] ?? '' });
        ChangedBetween.prototype.rewrap = StoreOfKeys.prototype.rewrap;
        return super.rewrap(currentKeyId, rows);
      }
    }
    // The changed one is under the old key again: a later pass takes it.
    expect(await rewrapSecrets(new ChangedBetween(new Set([one, two])), ring, quiet, never)).toEqual({ rewrapped: 2, unreadable: 0 });
    expect(await countUnder(one)).toBe(0);
    expect(await on.releases.release(caller, { runToken, url: 'https://s0.example.com/' })).toMatchObject({ secret: 'changed' });
    expect(await on.seen(caller, ids[1] ?? '')).toMatchObject({ auth: { archived: true } });
  });

  test('leaves what it cannot read as it is, and says how many', async () => {
    const [lost, two] = [unique('lost'), unique('two')];
    const lostKey = newKey(lost);
    const { caller, ids } = await filled(open(parseKeyRing(lostKey)), 4);
    const second = newKey(two);
    const store = new StoreOfKeys(new Set([lost, two]));
    expect(await rewrapSecrets(store, parseKeyRing(second), quiet, never)).toEqual({ rewrapped: 0, unreadable: 4 });
    expect(await countUnder(lost)).toBe(4);
    // Nothing is lost: with the key found again everything opens.
    expect(await open(parseKeyRing(`${second},${lostKey}`)).seen(caller, ids[0] ?? '')).toMatchObject({ auth: { hasToken: true } });
  });
});
