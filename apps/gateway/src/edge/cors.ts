/** Response headers that pages may read. */
const EXPOSED = [
  'x-request-id',
  'RateLimit-Policy',
  'RateLimit',
  'RateLimit-Limit',
  'RateLimit-Remaining',
  'RateLimit-Reset',
  'Retry-After',
  'Idempotent-Replayed',
  'x-run-id',
  'x-thread-id',
  'x-sandbox-id',
  'x-vault-coverage-missing',
  'x-truncated',
  'Deprecation',
  'X-Deprecated',
].join(', ');

/** `*`, or the origins that may call from a page. No credentials mode: there are no cookies here. */
export type CorsOrigins = '*' | ReadonlySet<string>;

/** Headers of every response, errors included. */
export const corsHeaders = (origins: CorsOrigins, origin: string | undefined): Record<string, string> => {
  if (origins === '*') return { 'access-control-allow-origin': '*', 'access-control-expose-headers': EXPOSED };
  const allowed: Record<string, string> = origin !== undefined && origins.has(origin) ? { 'access-control-allow-origin': origin, 'access-control-expose-headers': EXPOSED } : {};
  // Also for origins that are refused, or a shared cache would hand one origin's answer to another.
  return { ...allowed, vary: 'Origin' };
};

/** Further headers of a preflight's 204. */
export const preflightHeaders = (requestedHeaders: string | undefined): Record<string, string> => ({
  'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
  'access-control-max-age': '7200',
  ...(requestedHeaders === undefined ? {} : { 'access-control-allow-headers': requestedHeaders }),
});
