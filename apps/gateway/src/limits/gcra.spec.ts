import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { admits, charge, describe as describeState, emissionIntervalMicros, type Policy } from './gcra.js';
import { addressSubject } from './policies.js';
import { rateLimitHeaders } from './rate-limit-headers.js';

const policy: Policy = { name: 'default', limit: 600, windowSeconds: 60, burst: 100 };
const SECOND = 1e6;

/** Runs requests at the given times against one schedule. */
const run = (limits: Policy, times: readonly number[]): boolean[] => {
  let tat = 0;
  return times.map(now => {
    const admitted = admits(limits, tat, now);
    if (admitted) tat = charge(limits, tat, now);
    return admitted;
  });
};

describe('GCRA', () => {
  test('admits the burst at once, then one per interval', () => {
    expect(run(policy, Array.from({ length: 150 }, () => SECOND)).filter(Boolean)).toHaveLength(100);
    expect(run(policy, [...Array.from({ length: 100 }, () => SECOND), SECOND + 99_999, SECOND + 100_000]).slice(-2)).toEqual([false, true]);
  });

  test('never admits more than burst + elapsed / interval in any window, whatever the arrivals', () => {
    const limits = fc.record({ limit: fc.integer({ min: 1, max: 1_000 }), windowSeconds: fc.integer({ min: 1, max: 100 }), burst: fc.integer({ min: 1, max: 50 }) });
    fc.assert(
      fc.property(limits, fc.array(fc.integer({ min: 0, max: 2_000_000 }), { maxLength: 200 }), (shape, gaps) => {
        const own: Policy = { name: 'default', ...shape };
        let now = SECOND;
        const times = gaps.map(gap => (now += gap));
        const outcomes = run(own, times);
        const admitted = times.filter((_time, index) => outcomes[index]);
        for (const [first, from] of admitted.entries()) {
          for (let last = first; last < admitted.length; last++) {
            const elapsed = (admitted[last] ?? 0) - from;
            expect(last - first + 1).toBeLessThanOrEqual(own.burst + elapsed / emissionIntervalMicros(own));
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  test('what it tells is true: `remaining` more are admitted, and one after `retryAfter` seconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 100 }), fc.integer({ min: 0, max: 200 }), (limit, windowSeconds, burst, requests) => {
        const own: Policy = { name: 'default', limit, windowSeconds, burst };
        let tat = 0;
        const now = SECOND;
        for (let index = 0; index < requests; index++) if (admits(own, tat, now)) tat = charge(own, tat, now);
        const { remaining, retryAfterSeconds, resetSeconds } = describeState(own, tat, now);
        expect(remaining).toBe(Math.max(0, burst - requests));
        const later = now + retryAfterSeconds * SECOND;
        expect(admits(own, tat, later)).toBe(true);
        expect(describeState(own, tat, now + resetSeconds * SECOND).remaining).toBe(burst);
      }),
    );
  });
});

test('the headers name every policy, and the tightest apart', () => {
  const states = [
    { policy, remaining: 99, resetSeconds: 1, retryAfterSeconds: 0 },
    { policy: { ...policy, name: 'team' as const, limit: 6_000 }, remaining: 12, resetSeconds: 3, retryAfterSeconds: 0 },
  ];
  expect(rateLimitHeaders(states)).toEqual({
    'ratelimit-policy': '"default";q=600;w=60, "team";q=6000;w=60',
    ratelimit: '"default";r=99;t=1, "team";r=12;t=3',
    'ratelimit-limit': '6000',
    'ratelimit-remaining': '12',
    'ratelimit-reset': '3',
  });
});

test.each([
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:10.1.2.3', '10.1.2.3'],
  ['2001:db8:1:2:aaaa:bbbb:cccc:dddd', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('failing requests from %s count on %s', (address, subject) => {
  expect(addressSubject(address)).toBe(subject);
});
