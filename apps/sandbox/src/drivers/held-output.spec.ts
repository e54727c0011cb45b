import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HeldOutput } from './held-output.js';

describe('output that is held', () => {
  test('may be as much as there is room for', () => {
    const held = new HeldOutput(100);
    const given: string[] = [];
    const [a, b] = ['a', 'b'].map(name => held.open(() => given.push(name)));
    a?.add(60);
    b?.add(40);
    expect(given).toEqual([]);
    b?.add(1);
    expect(given).toEqual(['a']);
  });

  test('of a command that has ended makes room', () => {
    const held = new HeldOutput(100);
    const given: string[] = [];
    const first = held.open(() => given.push('first'));
    first.add(100);
    first.close();
    first.close();
    held.open(() => given.push('second')).add(100);
    expect(given).toEqual([]);
  });

  test('is never more than the room, and only the largest ever gives way', () => {
    const step = fc.record({ command: fc.nat(7), bytes: fc.integer({ min: 0, max: 60 }), ends: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), steps => {
        const held = new HeldOutput(100);
        const open = new Map<number, { bytes: number; share: ReturnType<HeldOutput['open']> }>();
        for (const { command, bytes, ends } of steps) {
          const mine = open.get(command) ?? {
            bytes: 0,
            share: held.open(() => {
              const most = Math.max(...[...open.values()].map(each => each.bytes));
              expect(open.get(command)?.bytes).toBe(most);
              open.delete(command);
            }),
          };
          open.set(command, mine);
          mine.bytes += bytes;
          mine.share.add(bytes);
          if (ends && open.delete(command)) mine.share.close();
          expect([...open.values()].reduce((sum, each) => sum + each.bytes, 0)).toBeLessThanOrEqual(100);
        }
      }),
    );
  });
});
