import { type ErrorCode, type ErrorExtras, ERROR_CATALOGUE, statusOf } from './catalogue.js';

type ExtrasArgument<C extends ErrorCode> = undefined extends ErrorExtras[C] ? [extras?: ErrorExtras[C], cause?: unknown] : [extras: ErrorExtras[C], cause?: unknown];

/** The body of every non-2xx answer. */
export interface ErrorEnvelope {
  error: { code: ErrorCode; message: string; status: number; [extra: string]: unknown };
}

/** How an error crosses a process border: without a status, which the catalogue gives at the edge. */
export interface WireError {
  code: ErrorCode;
  message: string;
  extras?: object;
}

/**
 * The one error of Gatehouse. `message` and `extras` are for the caller and must never carry secrets, SQL, stack
 * traces or provider output; `cause` is for the log of the process that threw.
 */
export class GatehouseError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'GatehouseError';
  readonly extras: ErrorExtras[C];

  constructor(
    readonly code: C,
    message: string,
    ...[extras, cause]: ExtrasArgument<C>
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.extras = extras as ErrorExtras[C];
  }

  get status(): number {
    return statusOf(this.code, this.extras);
  }

  /** Seconds after which a retry can succeed; undefined when waiting alone does not help. */
  get retryAfter(): number | undefined {
    const extras: object | undefined = this.extras;
    return extras !== undefined && 'retryAfter' in extras && typeof extras.retryAfter === 'number' ? extras.retryAfter : undefined;
  }

  toEnvelope(): ErrorEnvelope {
    return { error: { code: this.code, message: this.message, status: this.status, ...this.extras } };
  }

  toWire(): WireError {
    return { code: this.code, message: this.message, ...(this.extras === undefined ? {} : { extras: this.extras }) };
  }

  /** Reads an error that came over a wire; anything unreadable is a fault of ours. */
  static fromWire(value: unknown): GatehouseError {
    if (!isWireError(value)) return internalError(value);
    return new GatehouseError<ErrorCode>(value.code, value.message, value.extras as ErrorExtras[ErrorCode]);
  }
}

const isWireError = (value: unknown): value is WireError =>
  typeof value === 'object' &&
  value !== null &&
  'code' in value &&
  typeof value.code === 'string' &&
  Object.hasOwn(ERROR_CATALOGUE, value.code) &&
  'message' in value &&
  typeof value.message === 'string' &&
  (!('extras' in value) || (typeof value.extras === 'object' && value.extras !== null));

/** A fault of ours: fixed text for the caller, the cause for the log. */
export const internalError = (cause?: unknown): GatehouseError<'internal_error'> => new GatehouseError('internal_error', 'Internal server error', undefined, cause);

/** Some part of Gatehouse does not answer right now. */
export const unavailable = (cause?: unknown, retryAfter = 5): GatehouseError<'internal_error'> =>
  new GatehouseError('internal_error', 'Service temporarily unavailable', { retryAfter }, cause);

/** The sandbox runtime or its service cannot be reached, or has no room. */
export const sandboxUnavailable = (message: string, cause?: unknown, retryAfter = 5): GatehouseError<'sandbox_error'> =>
  new GatehouseError('sandbox_error', message, { retryAfter }, cause);

/** The runtime was reached and failed. */
export const sandboxFailed = (message: string, cause?: unknown): GatehouseError<'sandbox_error'> => new GatehouseError('sandbox_error', message, undefined, cause);

/** A command, setup step or clone ran out of its time. */
export const sandboxTimedOut = (message: string): GatehouseError<'sandbox_error'> => new GatehouseError('sandbox_error', message, { timedOut: true });

/** Kinds of things that can be missing, as callers read them. */
export type Resource = 'Route' | 'Agent' | 'Version' | 'Sandbox' | 'Thread' | 'Run' | 'Vault' | 'Credential' | 'Key' | 'Budget' | 'File';

/** Also the answer for another team's things: not yours is not there. */
export const notFound = (resource: Resource): GatehouseError<'not_found'> => new GatehouseError('not_found', `${resource} not found`);

/** Whatever was thrown, as an error of the contract. Unknown throws become `internal_error` and keep their cause for the log. */
export const toGatehouseError = (thrown: unknown): GatehouseError => (thrown instanceof GatehouseError ? thrown : internalError(thrown));
