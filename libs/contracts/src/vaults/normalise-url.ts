import { getPublicSuffix } from 'tldts';
import type { Check } from '../validation/rules.js';

/** A server's address as credentials are kept under it (spec 10.6). */
export interface ServerUrl {
  /** Two spellings of one address have the same. */
  readonly normalized: string;
  /** The host without its port; its first label may be `*`. */
  readonly hostPattern: string;
}

export const SERVER_URL_MAX = 2048;

/**
 * The one form of a server's address.
 * @throws TypeError whose message says what is wrong and never repeats the URL, which may hold a secret.
 */
export const normaliseServerUrl = (text: string): ServerUrl => {
  const trimmed = text.trim();
  if (!URL.canParse(trimmed)) throw new TypeError('must be an http or https URL');
  const url = new URL(trimmed);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError('must be an http or https URL');
  if (url.username !== '' || url.password !== '' || hasEmptyUserInfo(trimmed)) throw new TypeError('must not contain user info');
  const problem = hostProblem(url.hostname);
  if (problem !== null) throw new TypeError(problem);
  return { normalized: `${url.protocol}//${url.host}${withoutTrailingSlashes(url.pathname)}${sortedQuery(url.searchParams)}`, hostPattern: url.hostname };
};

export const serverUrl: Check = value => {
  if (typeof value !== 'string') return 'must be a string';
  if (value.length > SERVER_URL_MAX) return `must have at most ${SERVER_URL_MAX} characters`;
  if (value.includes('\0')) return 'must not contain NUL';
  try {
    normaliseServerUrl(value);
    return null;
  } catch (error) {
    return (error as TypeError).message;
  }
};

/** The parser quietly drops an empty user info with its @, and control characters before and between all that leads to it. */
const hasEmptyUserInfo = (text: string): boolean => /^https?:[\\/]*[^/?#\\]*@/i.test(text.replace(/^[\u0000-\u0020]+|[\t\n\r]/g, ''));

const withoutTrailingSlashes = (path: string): string => {
  let end = path.length;
  while (end > 1 && path[end - 1] === '/') end--;
  return path.slice(0, end);
};

const sortedQuery = (parameters: URLSearchParams): string => {
  parameters.sort();
  const query = parameters.toString();
  return query === '' ? '' : `?${query}`;
};

const hostProblem = (host: string): string | null => {
  if (isLinkLocal(host)) return 'must not name a link-local address';
  if (!host.includes('*')) return null;
  const [first, ...rest] = host.split('.');
  const parent = rest.join('.').replace(/\.$/, '');
  if (first !== '*' || parent.includes('*') || parent.split('.').includes('')) return 'may have a * only as its whole first label';
  // Everybody's names lie under a public suffix, a private one (github.io) too; under an unknown top level likewise.
  return getPublicSuffix(parent, { allowPrivateDomains: true, validateHostname: false }) === parent ? 'must not have a wildcard over a public suffix' : null;
};

/** Where clouds answer with their own credentials: 169.254.0.0/16, fe80::/10, and the first inside IPv6 (mapped, translated, NAT64, 6to4). */
const isLinkLocal = (host: string): boolean =>
  /^169\.254\.\d+\.\d+$/.test(host) || /^\[fe[89ab][0-9a-f]:/.test(host) || /^\[(::ffff:|::ffff:0:|::|64:ff9b::)a9fe:[0-9a-f]{1,4}\]$/.test(host) || /^\[2002:a9fe:/.test(host);
