import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseInput, UpdateCredential } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { type KeyRing, parseKeyRing } from '@gatehouse/sealing';
import { call, makeVault, newKey, openTestDatabase, type TestVault } from '../testing/test-vault.js';
import type { Rewrapped } from './key-rotation.store.js';
import { rewrapSecrets } from './rewrap-secrets.js';
import { countUnder, filled, StoreOfKeys, unique } from './testing/secrets-of-keys.js';

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

describe('a rotation', () => {
  test('brings every secret under the current key, after which the old one can go', async () => {
    const [one, two] = [unique('one'), unique('two')];
    const [first, second] = [newKey(one), newKey(two)];
    const before = open(parseKeyRing(first));
    const { caller, runToken } = await filled(before, 10);
    const progress: number[] = [];
    const done = await rewrapSecrets(new StoreOfKeys(database, [one, two]), parseKeyRing(`${second},${first}`), async ({ rewrapped }) => void progress.push(rewrapped), never);
    expect(done).toEqual({ rewrapped: 10, unreadable: 0 });
    expect(progress).toEqual([3, 6, 9, 10]);
    expect([await countUnder(database, one), await countUnder(database, two)]).toEqual([0, 10]);
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
    const store = new StoreOfKeys(database, [one, two]);
    const stop = new AbortController();
    const broken = rewrapSecrets(store, ring, async () => stop.abort(new Error('killed')), stop.signal);
    await expect(broken).rejects.toThrow('killed');
    expect(await countUnder(database, two)).toBe(3);
    expect(await rewrapSecrets(store, ring, quiet, never)).toEqual({ rewrapped: 5, unreadable: 0 });
    expect(await countUnder(database, one)).toBe(0);
  });

  test('overwrites nothing that changes meanwhile', async () => {
    const [one, two] = [unique('one'), unique('two')];
    const [first, second] = [newKey(one), newKey(two)];
    const ring = parseKeyRing(`${second},${first}`);
    const on = open(parseKeyRing(`${first},${second}`));
    const { caller, vaultId, ids, runToken } = await filled(on, 3);
    class ChangedBetween extends StoreOfKeys {
      override async rewrap(currentKeyId: string, rows: readonly Rewrapped[]): Promise<ReadonlySet<string>> {
        await on.credentials.update(caller, parseInput(UpdateCredential, { vaultId, credentialId: ids[0], auth: { type: 'bearer', token: 'changed' } }), call);
        await on.credentials.delete(caller, { vaultId, credentialId: ids[1] ?? '' });
        ChangedBetween.prototype.rewrap = StoreOfKeys.prototype.rewrap;
        return super.rewrap(currentKeyId, rows);
      }
    }
    // The changed one is under the old key again: a later pass takes it.
    expect(await rewrapSecrets(new ChangedBetween(database, [one, two]), ring, quiet, never)).toEqual({ rewrapped: 2, unreadable: 0 });
    expect(await countUnder(database, one)).toBe(0);
    expect(await on.releases.release(caller, { runToken, url: 'https://s0.example.com/' })).toMatchObject({ secret: 'changed' });
    expect(await on.seen(caller, ids[1] ?? '')).toMatchObject({ auth: { archived: true } });
  });

  test('leaves what it cannot read as it is, and says how many', async () => {
    const [lost, two] = [unique('lost'), unique('two')];
    const lostKey = newKey(lost);
    const { caller, ids } = await filled(open(parseKeyRing(lostKey)), 4);
    const second = newKey(two);
    const store = new StoreOfKeys(database, [lost, two]);
    expect(await rewrapSecrets(store, parseKeyRing(second), quiet, never)).toEqual({ rewrapped: 0, unreadable: 4 });
    expect(await countUnder(database, lost)).toBe(4);
    // Nothing is lost: with the key found again everything opens.
    expect(await open(parseKeyRing(`${second},${lostKey}`)).seen(caller, ids[0] ?? '')).toMatchObject({ auth: { hasToken: true } });
  });

  /** Holds a row as a long transaction would, until told; it is held when this resolves. */
  const hold = async (id: string): Promise<{ release(): Promise<void> }> => {
    let release = (): void => undefined;
    const end = new Promise<void>(resolve => (release = resolve));
    let held = (): void => undefined;
    const holding = new Promise<void>(resolve => (held = resolve));
    const transaction = database.$transaction(
      async tx => {
        await tx.$queryRaw`SELECT id FROM vault.credentials WHERE id = ${id}::uuid FOR UPDATE`;
        held();
        await end;
      },
      { timeout: 20_000 },
    );
    await Promise.race([holding, transaction]);
    return { release: async () => { release(); await transaction; } };
  };

  test('outlasts a row that is held for some looks, and looks again only at that one', async () => {
    const [one, two] = [unique('one'), unique('two')];
    const [first, second] = [newKey(one), newKey(two)];
    const { ids } = await filled(open(parseKeyRing(first)), 7);
    const again: (readonly string[])[] = [];
    class Watched extends StoreOfKeys {
      override stillWrappedByOthers(currentKeyId: string, of: readonly string[]): ReturnType<StoreOfKeys['stillWrappedByOthers']> {
        if (again.push(of) === 4) void release();
        return super.stillWrappedByOthers(currentKeyId, of);
      }
    }
    const { release } = await hold(ids[3] ?? '');
    expect(await rewrapSecrets(new Watched(database, [one, two]), parseKeyRing(`${second},${first}`), quiet, never)).toEqual({ rewrapped: 7, unreadable: 0 });
    await release();
    expect(again.every(of => of.length === 1 && of[0] === ids[3])).toBe(true);
    expect([again.length >= 4, again.length < 10]).toEqual([true, true]);
    expect(await countUnder(database, one)).toBe(0);
  }, 20_000);

  test('ends at once when it is told to while it pauses', async () => {
    const [one, two] = [unique('one'), unique('two')];
    const [first, second] = [newKey(one), newKey(two)];
    const { ids } = await filled(open(parseKeyRing(first)), 1);
    const stop = new AbortController();
    let looks = 0;
    class StoppedLater extends StoreOfKeys {
      override stillWrappedByOthers(currentKeyId: string, of: readonly string[]): ReturnType<StoreOfKeys['stillWrappedByOthers']> {
        if (++looks === 4) setImmediate(() => stop.abort());
        return super.stillWrappedByOthers(currentKeyId, of);
      }
    }
    const { release } = await hold(ids[0] ?? '');
    try {
      await expect(rewrapSecrets(new StoppedLater(database, [one, two]), parseKeyRing(`${second},${first}`), quiet, stop.signal)).rejects.toThrow(/abort/i);
      expect(looks).toBe(4);
    } finally {
      await release();
    }
  }, 20_000);
});
