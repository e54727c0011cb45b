import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseUsd, toUsd } from './money.js';

describe('money', () => {
  test.each([
    [12.5, 12_500_000n],
    ['12.50', 12_500_000n],
    [0, 0n],
    ['0.000001', 1n],
    [0.000001, 1n],
    [1_000_000_000, 1_000_000_000_000_000n],
    ['1000000000.000000', 1_000_000_000_000_000n],
    ['007', 7_000_000n],
  ])('reads %p', (value, microUsd) => {
    expect(parseUsd(value)).toBe(microUsd);
  });

  test.each(['1.0000001', 0.0000001, '1e3', 1e21, '-1', -1, '+1', ' 1', '1 ', '', '.5', '1.', '1000000000.000001', 1_000_000_001, NaN, Infinity, null, undefined, true, {}, [], '１'])('refuses %p', value => {
    expect(parseUsd(value)).toBeNull();
  });

  test('every amount survives the way out and back in', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1_000_000_000_000_000n }), microUsd => {
        expect(parseUsd(toUsd(microUsd))).toBe(microUsd);
      }),
    );
  });
});
