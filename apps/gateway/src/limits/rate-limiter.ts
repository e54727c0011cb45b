import type { Redis, Result } from 'ioredis';
import { describe, emissionIntervalMicros, type Policy, type PolicyState } from './gcra.js';
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
 * KEYS: schedules…, epoch. ARGV: interval, tolerance for each schedule. Answers [admitted, epoch, now, schedules…].
 */
const CHARGE_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local schedules, admitted = {}, 1
for i = 1, #KEYS - 1 do
  local tat = tonumber(redis.call('GET', KEYS[i])) or now
  schedules[i] = math.max(tat, now)
  if schedules[i] + ARGV[2 * i - 1] - now > tonumber(ARGV[2 * i]) then admitted = 0 end
end
local answer = { admitted, redis.call('GET', KEYS[#KEYS]) or '', string.format('%.0f', now) }
for i = 1, #KEYS - 1 do
  if admitted == 1 then
    schedules[i] = schedules[i] + ARGV[2 * i - 1]
    redis.call('SET', KEYS[i], string.format('%.0f', schedules[i]), 'PX', math.ceil((schedules[i] - now) / 1000) + 1000)
  end
  answer[i + 3] = string.format('%.0f', schedules[i])
end
return answer`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    gatehouseCharge(keyCount: number, ...keysAndArguments: (string | number)[]): Result<[number, string, string, ...string[]], Context>;
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

  constructor(
    private readonly redis: Redis,
    private readonly local: LocalRateLimiter,
    private readonly onStoreFailure: (error: unknown) => void,
    private readonly namespace: string,
  ) {
    redis.defineCommand('gatehouseCharge', { lua: CHARGE_SCRIPT });
  }

  /** Charges every policy with one request, or none if one of them refuses. `epochAt` is where the epoch to tell is kept. */
  async charge(charges: readonly Charge[], epochAt: string): Promise<Verdict> {
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

  private async chargeInStore(charges: readonly Charge[], epochAt: string): Promise<Verdict> {
    const keys = charges.map(({ policy, subject }) => `${this.namespace}:gateway:limit:${policy.name}:${subject}`);
    const limits = charges.flatMap(({ policy }) => [emissionIntervalMicros(policy), emissionIntervalMicros(policy) * policy.burst]);
    const [admitted, epoch, now, ...schedules] = await this.redis.gatehouseCharge(keys.length + 1, ...keys, epochAt, ...limits);
    return {
      admitted: admitted === 1,
      epoch,
      states: charges.map(({ policy }, index) => describe(policy, Number(schedules[index]), Number(now))),
    };
  }
}

/** The longest wait any refusing policy asks for. */
export const retryAfter = (states: readonly PolicyState[]): number => Math.max(1, ...states.map(state => state.retryAfterSeconds));

