/**
 * The error contract: every failure that leaves Gatehouse is one of these codes. This is the only place where an HTTP
 * status is written; everything else throws a {@link GatehouseError} and names a code.
 */

/** Narrowest first: of limits with equally little room, the first in this order is the one reported. */
export const BUDGET_SCOPES = ['run', 'thread', 'sandbox', 'end_user', 'agent', 'key', 'team'] as const;
export type BudgetScope = (typeof BUDGET_SCOPES)[number];

/** What each code carries inside `error` beside `code`, `message` and `status`. A key in a union member is always sent, even when null. */
export interface ErrorExtras {
  invalid_request: undefined;
  validation_error: undefined;
  unauthorized: undefined;
  forbidden: undefined;
  not_found: undefined;
  conflict: undefined | { retryAfter: 1 };
  stream_active: { runId: string; threadId: string; sandboxId: string };
  credential_cap_exceeded: { limit: number };
  vault_coverage_missing: { missing: string[] };
  budget_exceeded: {
    scope: BudgetScope;
    scopeId: string | null;
    limitUsd: number;
    spentUsd: number;
    heldUsd: number;
    resetsAt: string | null;
    /** Only, and then always, when `scope` is `sandbox`. */
    sandboxId?: string;
  };
  rate_limit_exceeded: { retryAfter: number };
  sandbox_error: undefined | { timedOut: true } | { retryAfter: number };
  internal_error: undefined | { retryAfter: number };
}

export type ErrorCode = keyof ErrorExtras;

interface CatalogueEntry {
  /** Status of the code, whatever its extras. */
  readonly status: number;
  /** Status when the extras carry `retryAfter`: the fault is temporary. Equal to `status` where that changes nothing. */
  readonly statusWithRetryAfter: number;
  /** One line for the documentation and the OpenAPI document. */
  readonly summary: string;
}

const entry = (status: number, summary: string, statusWithRetryAfter = status): CatalogueEntry => ({ status, statusWithRetryAfter, summary });

export const ERROR_CATALOGUE: Readonly<Record<ErrorCode, CatalogueEntry>> = {
  invalid_request: entry(400, 'The request is malformed, or something required is missing.'),
  validation_error: entry(400, 'A given field, parameter or header value is not acceptable.'),
  unauthorized: entry(401, 'The credential is missing, unknown, revoked or expired.'),
  forbidden: entry(403, 'The credential is valid, but the operation is not permitted to it.'),
  not_found: entry(404, 'The route or resource does not exist for this caller.'),
  conflict: entry(409, 'The thing already exists, or its state does not allow the operation.'),
  stream_active: entry(409, 'The sandbox already has a run in progress.'),
  credential_cap_exceeded: entry(422, 'The vault already has 20 active credentials.'),
  vault_coverage_missing: entry(422, 'A declared MCP server has no credential in the resolved vaults.'),
  budget_exceeded: entry(422, 'A spending limit leaves no room.'),
  rate_limit_exceeded: entry(429, 'Too many requests in a short time.'),
  sandbox_error: entry(500, 'The sandbox runtime failed, timed out, or (503) cannot be reached or has no capacity.', 503),
  internal_error: entry(500, 'A fault in Gatehouse, or (503) a part of it that does not answer.', 503),
};

export const ERROR_CODES = Object.keys(ERROR_CATALOGUE) as readonly ErrorCode[];

/** The HTTP status of an error. Two codes have two: with `retryAfter` they are temporary (503). */
export const statusOf = (code: ErrorCode, extras: object | undefined): number =>
  extras !== undefined && 'retryAfter' in extras ? ERROR_CATALOGUE[code].statusWithRetryAfter : ERROR_CATALOGUE[code].status;
