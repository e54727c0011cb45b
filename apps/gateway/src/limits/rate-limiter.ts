import type { Redis, Result } from 'ioredis';
import { describe, emissionIntervalMicros, type Policy, type PolicyState } from './gcra.js';
import { type EpochKeys, joinEpoch, newMark } from '../keys/key-epochs.js';
import { LocalRateLimiter } from './local-rate-limiter.js';

/** One policy applied to one subject. */
export interface Charge {
  readonly policy: Policy;
  /** Whom the policy counts: a key id, team id or client address. */
  readonly subject: string;
}

export interface Verdict {
  readonly admitted: boolean;
  readonly states: readonly PolicyState[];
  /** The key's epoch as the shared store knows it; undefined when it could not be asked. */
  readonly epoch: string | undefined;
}

/**
 * All policies or none, by the store's own clock, and the epoch of the key in the same round trip. Schedules are kept
 * as whole microseconds: doubles hold them exactly until the year 2255.
 * KEYS: schedules…, change and mark of the epoch. ARGV: interval, tolerance for each schedule; a mark for a store without one.
 * Answers [admitted, mark, change, now, schedules…].
 */
const CHARGE_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local count = #KEYS - 2
local schedules, admitted = {}, 1
for i = 1, count do
  local tat = tonumber(redis.call('GET', KEYS[i])) or now
  schedules[i] = math.max(tat, now)
  if schedules[i] + ARGV[2 * i - 1] - now > tonumber(ARGV[2 * i]) then admitted = 0 end
end
local change, mark = unpack(redis.call('MGET', KEYS[count + 1], KEYS[count + 2]))
if not mark then
  mark = ARGV[#ARGV]
  redis.call('SET', KEYS[count + 2], mark)
end
local answer = { admitted, mark, change or '', string.format('%.0f', now) }
for i = 1, count do
  if admitted == 1 then
    schedules[i] = schedules[i] + ARGV[2 * i - 1]
    redis.call('SET', KEYS[i], string.format('%.0f', schedules[i]), 'PX', math.ceil((schedules[i] - now) / 1000) + 1000)
  end
  answer[i + 4] = string.format('%.0f', schedules[i])
end
return answer`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    gatehouseCharge(keyCount: number, ...keysAndArguments: (string | number)[]): Result<[number, string, string, string, ...string[]], Context>;
  }
}

/** How long the local limiter serves alone after the store failed, before the store is tried again. */
const STORE_PAUSE_MS = 1_000;

/**
 * Rate limits shared by all gateway processes. While the store is away each process limits on its own, at its share of
 * the limit: never open, never a crash.
 */
export class RateLimiter {
  private storePausedUntil = 0;
  /** Offered with every charge, to a store that has none; never one that a store has had before. */
  private freshMark = newMark();

  constructor(
    private readonly redis: Redis,
    private readonly local: LocalRateLimiter,
    private readonly onStoreFailure: (error: unknown) => void,
    private readonly namespace: string,
  ) {
    redis.defineCommand('gatehouseCharge', { lua: CHARGE_SCRIPT });
  }

  /** Charges every policy with one request, or none if one of them refuses. `epochAt` is where the epoch to tell is kept. */
  async charge(charges: readonly Charge[], epochAt: EpochKeys): Promise<Verdict> {
    const now = Date.now();
    if (now >= this.storePausedUntil) {
      try {
        return await this.chargeInStore(charges, epochAt);
      } catch (error) {
        this.storePausedUntil = now + STORE_PAUSE_MS;
        this.onStoreFailure(error);
      }
    }
    return { ...this.local.charge(charges), epoch: undefined };
  }

  /** What is left, without counting anything. */
  async look(charges: readonly Charge[]): Promise<readonly PolicyState[]> {
    const now = Date.now() * 1_000;
    const unused = charges.map(({ policy }) => describe(policy, now, now));
    const schedules = await this.redis.mget(charges.map(charge => this.scheduleKey(charge))).catch(() => null);
    return schedules === null ? unused : charges.map(({ policy }, index) => describe(policy, Number(schedules[index] ?? now), now));
  }

  private scheduleKey({ policy, subject }: Charge): string {
    return `${this.namespace}:gateway:limit:${policy.name}:${subject}`;
  }

  private async chargeInStore(charges: readonly Charge[], { mark, change }: EpochKeys): Promise<Verdict> {
    const keys = charges.map(charge => this.scheduleKey(charge));
    const limits = charges.flatMap(({ policy }) => [emissionIntervalMicros(policy), emissionIntervalMicros(policy) * policy.burst]);
    const [admitted, knownMark, changed, now, ...schedules] = await this.redis.gatehouseCharge(keys.length + 2, ...keys, change, mark, ...limits, this.freshMark);
    if (knownMark === this.freshMark) this.freshMark = newMark();
    return {
      admitted: admitted === 1,
      epoch: joinEpoch(knownMark, changed),
      states: charges.map(({ policy }, index) => describe(policy, Number(schedules[index]), Number(now))),
    };
  }
}

/** The longest wait any refusing policy asks for. */
export const retryAfter = (states: readonly PolicyState[]): number => Math.max(1, ...states.map(state => state.retryAfterSeconds));

