import type { PolicyState } from './gcra.js';

/** The headers of every `/v1` response (draft-ietf-httpapi-ratelimit-headers, and the older three for the tightest policy). */
export const rateLimitHeaders = (states: readonly PolicyState[]): Record<string, string> => {
  const tightest = states.reduce<PolicyState | undefined>((least, state) => (least === undefined || state.remaining < least.remaining ? state : least), undefined);
  if (tightest === undefined) return {};
  return {
    'ratelimit-policy': states.map(({ policy }) => `"${policy.name}";q=${policy.limit};w=${policy.windowSeconds}`).join(', '),
    ratelimit: states.map(({ policy, remaining, resetSeconds }) => `"${policy.name}";r=${remaining};t=${resetSeconds}`).join(', '),
    'ratelimit-limit': String(tightest.policy.limit),
    'ratelimit-remaining': String(tightest.remaining),
    'ratelimit-reset': String(tightest.resetSeconds),
  };
};
