/**
 * GCRA (generic cell rate algorithm, ITU-T I.371) on a virtual schedule: one number per limit, the theoretical arrival
 * time (TAT) of the next request. `burst` requests may come at once, then one per window/limit.
 */
export interface Policy {
  readonly name: 'default' | 'create' | 'team' | 'auth-failure';
  /** Requests per window, sustained. */
  readonly limit: number;
  readonly windowSeconds: number;
  readonly burst: number;
}

export interface PolicyState {
  readonly policy: Policy;
  /** Requests allowed right now. */
  readonly remaining: number;
  /** Whole seconds until `remaining` is back at the burst. */
  readonly resetSeconds: number;
  /** Whole seconds after which a request is admitted; 0 = now. */
  readonly retryAfterSeconds: number;
}

/** Whole microseconds between two requests of the sustained rate: with fractions, sums of them would miss the burst by a rounding error. */
export const emissionIntervalMicros = ({ limit, windowSeconds }: Policy): number => Math.ceil((windowSeconds * 1e6) / limit);

/** Would one more request be admitted at `now`? Times in microseconds. */
export const admits = (policy: Policy, tat: number, now: number): boolean => {
  const interval = emissionIntervalMicros(policy);
  return Math.max(tat, now) + interval - now <= policy.burst * interval;
};

/** The schedule after one admitted request. */
export const charge = (policy: Policy, tat: number, now: number): number => Math.max(tat, now) + emissionIntervalMicros(policy);

/** What a schedule means to a client. */
export const describe = (policy: Policy, tat: number, now: number): PolicyState => {
  const interval = emissionIntervalMicros(policy);
  const debt = Math.max(0, tat - now);
  const wait = debt + interval - policy.burst * interval;
  return {
    policy,
    remaining: Math.max(0, Math.floor((policy.burst * interval - debt) / interval)),
    resetSeconds: Math.ceil(debt / 1e6),
    retryAfterSeconds: wait <= 0 ? 0 : Math.max(1, Math.ceil(wait / 1e6)),
  };
};
