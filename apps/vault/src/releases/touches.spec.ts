import { describe, expect, test } from '@jest/globals';
import { createLogger } from '@gatehouse/platform';
import { eventually } from '@gatehouse/testing';
import type { ReleaseStore, Touch } from './release.store.js';
import { Touches } from './touches.js';

const logger = createLogger({ service: 'vault', instance: 'spec', level: 'silent' });
const [A, B] = [
  { id: 'a', secretVersion: 1 },
  { id: 'b', secretVersion: 7 },
];

/** Remembers what is written; `passedOver` and failures as told. */
const recorder = (answer: (touches: readonly Touch[]) => Promise<Iterable<string>> = async touches => touches.map(({ id }) => id)) => {
  const writes: (readonly Touch[])[] = [];
  const store = { touch: async (touches: readonly Touch[]) => (writes.push(touches), new Set(await answer(touches))) } as unknown as ReleaseStore;
  return { writes, touches: new Touches(store, logger) };
};

describe('notes of uses', () => {
  test('of one credential become one, the latest outcome counts', async () => {
    const { writes, touches } = recorder();
    touches.failed(A, 'The server answered 401');
    touches.resolved(A, { clears: true });
    touches.resolved(B, { clears: true });
    touches.failed(B, 'The server answered 403');
    await touches.close();
    expect(writes).toEqual([
      [
        { id: 'a', resolvedMsAgo: expect.any(Number), outcome: { secretVersion: 1, error: null, msAgo: expect.any(Number) } },
        { id: 'b', resolvedMsAgo: expect.any(Number), outcome: { secretVersion: 7, error: 'The server answered 403', msAgo: expect.any(Number) } },
      ],
    ]);
  });

  test('of an old token that had to do clear no error', async () => {
    const { writes, touches } = recorder();
    touches.failed(A, 'failed');
    touches.resolved(A, { clears: false });
    await touches.close();
    expect(writes[0]).toMatchObject([{ id: 'a', resolvedMsAgo: expect.any(Number), outcome: { error: 'failed' } }]);
  });

  test('are written again when a row was passed over or the database did not answer', async () => {
    let answers = 0;
    const { writes, touches } = recorder(async () => {
      if (++answers === 1) throw new Error('away');
      return answers === 2 ? ['b'] : ['a', 'b'];
    });
    touches.resolved(A, { clears: true });
    touches.resolved(B, { clears: true });
    await eventually(() => expect(writes.map(write => write.map(({ id }) => id))).toEqual([['a', 'b'], ['a', 'b'], ['a']]));
    await touches.close();
    expect(writes).toHaveLength(3);
  });

  test('that were noted while others are written are not lost', async () => {
    let letGo = (): void => undefined;
    const gate = new Promise<void>(resolve => (letGo = resolve));
    const { writes, touches } = recorder(async all => (await gate, all.map(({ id }) => id)));
    touches.resolved(A, { clears: true });
    await eventually(() => expect(writes).toHaveLength(1));
    touches.failed(A, 'meanwhile');
    letGo();
    await touches.close();
    expect(writes.at(-1)).toMatchObject([{ id: 'a', outcome: { error: 'meanwhile' } }]);
  });

  test('are written once more at the end, and then no more, whatever happens', async () => {
    const { writes, touches } = recorder(() => Promise.reject(new Error('away')));
    touches.resolved(A, { clears: true });
    await touches.close();
    const atTheEnd = writes.length;
    touches.resolved(B, { clears: true });
    await new Promise(resolve => setImmediate(resolve));
    expect(writes).toHaveLength(atTheEnd);
  });
});
