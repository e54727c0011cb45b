import type { HttpAnswer } from './post-form.js';
import { RefreshFailed } from './refresh-failed.js';

export interface TokenAnswer {
  accessToken: string;
  /** Only when the provider gave a new one; the old one may be void from then on. */
  refreshToken?: string;
  tokenType?: string;
  /** ISO 8601 in UTC. */
  expiresAt?: string;
}

/** What a provider may call its refusal (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707). Any other word is its own text and not repeated. */
const ERROR_CODES: ReadonlyMap<unknown, 'permanent' | 'passing'> = new Map([
  ['invalid_grant', 'permanent'],
  ['invalid_client', 'permanent'],
  ['unauthorized_client', 'permanent'],
  ['unsupported_grant_type', 'permanent'],
  ['invalid_scope', 'permanent'],
  ['invalid_request', 'passing'],
  ['invalid_target', 'passing'],
  ['access_denied', 'passing'],
  ['server_error', 'passing'],
  ['temporarily_unavailable', 'passing'],
]);

const TEN_YEARS_S = 10 * 366 * 24 * 60 * 60;

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads the answer to a refresh (RFC 6749 sections 5.1 and 5.2). Strict about the access token, which becomes a header, and
 * lenient about the rest: the provider may have revoked the old refresh token already, so a new one is not thrown away
 * because an optional field beside it makes no sense.
 * @param sentAtMs when the request was sent, which is before the lifetime began.
 * @throws RefreshFailed unless there is an access token.
 */
export const parseTokenAnswer = ({ status, body }: HttpAnswer, sentAtMs: number): TokenAnswer => {
  const fields = body === null ? null : jsonObject(body);
  const accessToken = fields?.access_token;
  if (fields === null || !isSuccess(status) || !isVisible(accessToken)) throw refusal(status, body, fields);

  const { refresh_token: refreshToken, token_type: tokenType, expires_in: expiresIn } = fields;
  const lifetimeS = lifetime(expiresIn);
  return {
    accessToken,
    ...(typeof refreshToken === 'string' && refreshToken !== '' && { refreshToken }),
    ...(isVisible(tokenType) && { tokenType }),
    ...(lifetimeS !== undefined && { expiresAt: new Date(sentAtMs + lifetimeS * 1000).toISOString() }),
  };
};

const refusal = (status: number, body: string | null, fields: Json | null): RefreshFailed => {
  const kind = ERROR_CODES.get(fields?.error);
  // Some providers refuse with status 200, so the code counts before the status.
  if (kind !== undefined) return new RefreshFailed(`The token endpoint refused with status ${status} (${String(fields?.error)})`, { permanent: kind === 'permanent' && (status === 400 || status === 401) });
  if (status >= 300 && status < 400) return new RefreshFailed(`The token endpoint answered with a redirect (status ${status}), which is not followed`);
  if (!isSuccess(status)) return new RefreshFailed(`The token endpoint refused with status ${status}`);
  if (body === null) return new RefreshFailed('The token endpoint answered with too much');
  if (fields === null) return new RefreshFailed('The token endpoint answered with something other than a JSON object');
  return new RefreshFailed('The token endpoint answered without a usable access token');
};

const isSuccess = (status: number): boolean => status >= 200 && status < 300;

/** 1*VSCHAR (RFC 6749 appendix A): nothing that could end a header; and not blanks alone. */
const isVisible = (value: unknown): value is string => typeof value === 'string' && /^(?! *$)[\x20-\x7e]+$/.test(value);

/** Whole seconds; undefined for what is no lifetime, such as the 0 by which some providers mean "for ever". */
const lifetime = (value: unknown): number | undefined => {
  const seconds = typeof value === 'string' && /^\d{1,12}$/.test(value) ? Number(value) : value;
  return typeof seconds === 'number' && seconds >= 1 && seconds <= TEN_YEARS_S ? Math.floor(seconds) : undefined;
};

const jsonObject = (text: string): Json | null => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null; // what the parser says quotes the text
  }
};
