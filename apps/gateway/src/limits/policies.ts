import type { ApiKeyRow } from '../keys/keys.store.js';
import type { Policy } from './gcra.js';
import type { Charge } from './rate-limiter.js';

/** The installation's limits, each replaceable by configuration, `default` and `create` also per key. */
export interface Policies {
  readonly default: Policy;
  readonly create: Policy;
  readonly team: Policy;
  readonly authFailure: Policy;
}

export const DEFAULT_POLICIES: Policies = {
  default: { name: 'default', limit: 600, windowSeconds: 60, burst: 100 },
  create: { name: 'create', limit: 300, windowSeconds: 60, burst: 50 },
  team: { name: 'team', limit: 6_000, windowSeconds: 60, burst: 1_000 },
  authFailure: { name: 'auth-failure', limit: 30, windowSeconds: 60, burst: 30 },
};

/** Everything one request of a key counts on. */
export const chargesOf = (policies: Policies, key: ApiKeyRow, creates: boolean): Charge[] => [
  { policy: { ...policies.default, ...key.rateLimits?.default }, subject: key.id },
  ...(creates ? [{ policy: { ...policies.create, ...key.rateLimits?.create }, subject: key.id }] : []),
  { policy: policies.team, subject: key.teamId },
];

/**
 * Whom failing requests count on: an IPv4 address, or the /64 that one IPv6 customer has to himself (mapped IPv4 as
 * IPv4), so that changing the last half of an address buys nothing.
 */
export const addressSubject = (address: string): string => {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  const tailGroups = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - tailGroups.length;
  return `${[...groups, ...Array.from({ length: missing }, () => '0'), ...tailGroups].slice(0, 4).map(group => parseInt(group, 16).toString(16)).join(':')}::/64`;
};
