import { LRUCache } from 'lru-cache';
import { admits, charge, describe, type Policy, type PolicyState } from './gcra.js';
import type { Charge } from './rate-limiter.js';

/** Subjects remembered at a time. The least recently seen is forgotten, and with it the little it had used. */
const SUBJECTS_MAX = 100_000;

/** The same rules in the memory of one process, each policy at this process's share of it. */
export class LocalRateLimiter {
  private readonly schedules = new LRUCache<string, number>({ max: SUBJECTS_MAX });

  constructor(
    private readonly expectedReplicas: number,
    private readonly nowMicros: () => number = () => Math.floor(performance.now() * 1_000),
  ) {}

  charge(charges: readonly Charge[]): { admitted: boolean; states: PolicyState[] } {
    const now = this.nowMicros();
    const shares = charges.map(({ policy, subject }) => {
      const share = this.share(policy);
      const key = `${policy.name}:${subject}`;
      return { policy, share, key, tat: this.schedules.get(key) ?? now };
    });
    const admitted = shares.every(({ share, tat }) => admits(share, tat, now));
    return {
      admitted,
      states: shares.map(({ policy, share, key, tat }) => {
        const next = admitted ? charge(share, tat, now) : tat;
        if (admitted) this.schedules.set(key, next);
        return { ...describe(share, next, now), policy };
      }),
    };
  }

  private share(policy: Policy): Policy {
    const part = (whole: number): number => Math.max(1, Math.floor(whole / this.expectedReplicas));
    return { ...policy, limit: policy.limit / this.expectedReplicas, burst: part(policy.burst) };
  }
}
