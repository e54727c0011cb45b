/**
 * Who is asking. Built once at the edge from the verified credential, passed first to every handler, never read from a
 * request body.
 */
export interface Caller {
  readonly teamId: string;
  /** The API key that acts; for a client token, its parent key. */
  readonly keyId: string;
  /** `['*']` or a list of scopes. */
  readonly scopes: readonly string[];
  /** Default user of runs and tokens. */
  readonly userId: string | null;
  /** Set for a client token that speaks for one end user. */
  readonly endUserId?: string;
  /** Set for a client token that is limited to some agents. */
  readonly agents?: readonly string[];
  readonly requestId: string;
}

/** Scopes a key can have, beside `*`. */
export const SCOPES = [
  'sandboxes:read',
  'sandboxes:write',
  'sandboxes:exec',
  'chat:run',
  'agents:read',
  'agents:write',
  'vaults:read',
  'vaults:write',
  'tokens:create',
  'budgets:read',
  'budgets:write',
  'usage:read',
  'keys:read',
  'keys:write',
] as const;
export type Scope = (typeof SCOPES)[number];

export const isScope = (value: string): value is Scope => (SCOPES as readonly string[]).includes(value);

/** A write scope does not include the read scope; `*` includes everything. */
export const hasScope = (scopes: readonly string[], scope: Scope): boolean => scopes.includes('*') || scopes.includes(scope);
