import { describe, expect, test } from '@jest/globals';
import { KeyCache, type KnownKey } from './key-cache.js';
import type { ApiKeyRow } from './keys.store.js';

const hash = Buffer.from('hash');
const row = (name: string): ApiKeyRow => ({ name }) as ApiKeyRow;

/** A row and an epoch that a test changes, and look-ups that wait until it lets them go on. */
const stage = () => {
  const state = { row: row('first') as ApiKeyRow | null, epoch: 'e1' as string | undefined, loads: 0, now: 0, gate: Promise.resolve() };
  const cache = new KeyCache(
    {
      readEpoch: async () => state.epoch,
      loadRow: async () => {
        state.loads++;
        const seen = state.row;
        await state.gate;
        return seen;
      },
    },
    () => state.now,
  );
  return { state, cache };
};
const nameOf = ({ row: known }: KnownKey): string | undefined => known?.name;

describe('known keys', () => {
  test('a hundred parallel requests cost one look-up, and later ones none', async () => {
    const { state, cache } = stage();
    await Promise.all(Array.from({ length: 100 }, async () => cache.get(hash)));
    await cache.get(hash);
    expect(state.loads).toBe(1);
  });

  test('a key nobody has is remembered too', async () => {
    const { state, cache } = stage();
    state.row = null;
    expect([await cache.get(hash), await cache.get(hash)].map(({ row: known }) => known)).toEqual([null, null]);
    expect(state.loads).toBe(1);
  });

  test('another epoch makes every request read the row again, once between them', async () => {
    const { state, cache } = stage();
    const known = await cache.get(hash);
    Object.assign(state, { row: row('second'), epoch: 'e2' });
    const answers = await Promise.all(Array.from({ length: 100 }, async () => cache.revalidate(hash, known, 'e2')));
    expect(new Set(answers.map(nameOf))).toEqual(new Set(['second']));
    expect(state.loads).toBe(2);
    expect(await cache.revalidate(hash, await cache.get(hash), 'e2')).toBe(answers[0]);
  });

  test('a row read before the change never passes for one read after it', async () => {
    const { state, cache } = stage();
    let open = (): void => undefined;
    state.gate = new Promise(resolve => (open = resolve));
    const early = cache.get(hash);
    await Promise.resolve();
    Object.assign(state, { row: row('second'), epoch: 'e2' });
    open();
    // The early look-up saw the old row, and says so by its epoch.
    const known = await early;
    expect([nameOf(known), known.epoch]).toEqual(['first', 'e1']);
    expect(nameOf(await cache.revalidate(hash, known, 'e2'))).toBe('second');
  });

  test('while epochs cannot be asked a row is believed for a second', async () => {
    const { state, cache } = stage();
    const known = await cache.get(hash);
    state.row = row('second');
    state.now = 999;
    expect(nameOf(await cache.revalidate(hash, known, undefined))).toBe('first');
    state.now = 1_000;
    expect(nameOf(await cache.revalidate(hash, known, undefined))).toBe('second');
  });

  test('clearing forgets everything, and fails nobody who is waiting', async () => {
    const { state, cache } = stage();
    let open = (): void => undefined;
    state.gate = new Promise(resolve => (open = resolve));
    const waiting = cache.get(hash);
    await Promise.resolve();
    cache.clear();
    open();
    expect(nameOf(await waiting)).toBe('first');
    state.row = row('second');
    expect(nameOf(await cache.get(hash))).toBe('second');
  });

  test('a look-up that fails is not remembered', async () => {
    let fails = true;
    const cache = new KeyCache({
      readEpoch: async () => 'e1',
      loadRow: async () => {
        if (fails) throw new Error('away');
        return row('first');
      },
    });
    await expect(cache.get(hash)).rejects.toThrow('away');
    fails = false;
    expect(nameOf(await cache.get(hash))).toBe('first');
  });
});
