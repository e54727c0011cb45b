import type { ApiKeyRow, RateLimitOverrides } from './keys.store.js';

export type KeyStatus = 'active' | 'revoked' | 'expired';

/** A key as callers see it: never its secret, never its hash. Dates are ISO 8601 in UTC. */
export interface KeyView {
  readonly id: string;
  readonly name: string;
  readonly prefix: string;
  readonly last4: string;
  readonly scopes: readonly string[];
  readonly status: KeyStatus;
  readonly userId: string | null;
  readonly rateLimits: RateLimitOverrides | null;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly lastUsedAt: string | null;
  readonly revokedAt: string | null;
}

export const keyStatus = ({ revokedAt, expiresAt }: Pick<ApiKeyRow, 'revokedAt' | 'expiresAt'>, now: Date): KeyStatus =>
  revokedAt !== null ? 'revoked' : expiresAt !== null && expiresAt <= now ? 'expired' : 'active';

export const keyView = (row: ApiKeyRow, now = new Date()): KeyView => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  last4: row.last4,
  scopes: row.scopes.includes('*') ? ['*'] : [...row.scopes].sort(),
  status: keyStatus(row, now),
  userId: row.userId,
  rateLimits: row.rateLimits,
  createdAt: row.createdAt.toISOString(),
  expiresAt: row.expiresAt?.toISOString() ?? null,
  lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  revokedAt: row.revokedAt?.toISOString() ?? null,
});
