import { type Caller, GatehouseError, hasScope, notFound } from '@gatehouse/contracts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ApiKeyRow } from '../keys/keys.store.js';
import { rateLimitHeaders } from '../limits/rate-limit-headers.js';
import type { Authenticator } from './authenticator.js';
import { corsHeaders, type CorsOrigins, preflightHeaders } from './cors.js';
import { MALFORMED_QUERY } from './query-string.js';
import { readJsonBody } from './request-body.js';
import type { RoutePolicy } from './requires.decorator.js';
import { endAfter } from './unread-body.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for every request of `/v1` that got past authentication. */
    caller: Caller | null;
    apiKey: ApiKeyRow | null;
    /** The client's `Content-Type`; empty = none. */
    declaredType: string;
  }
}

/**
 * Everything that is decided about a request before its handler runs, in the order the API promises: the first stage
 * that refuses decides the answer.
 *
 *   request id, CORS -> credential 401 -> rate limits 429 -> route 404, percent-encoding 400 -> scope 403 -> form of the body 400
 */
export class Edge {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly origins: CorsOrigins,
  ) {}

  install(fastify: FastifyInstance): void {
    fastify.decorateRequest('caller', null);
    fastify.decorateRequest('apiKey', null);
    fastify.decorateRequest('declaredType', '');
    fastify.addHook('onRoute', ({ url, method, config }) => {
      if (isProductPath(url) && config?.policy === undefined) throw new Error(`${String(method)} ${url} does not say which scopes it requires: give its handler @Requires(…)`);
    });
    fastify.addHook('onRequest', async (request, reply) => this.guard(request, reply));
    fastify.addHook('onSend', async (request, reply) => endAfter(request, reply));
    fastify.removeAllContentTypeParsers();
    fastify.addContentTypeParser('*', async (request: FastifyRequest, body: FastifyRequest['raw']) => {
      // Its handler reads it, when all else is known to be well.
      if (takesBytes(request)) return {};
      if (request.method !== 'DELETE') return readJsonBody(request.headers, request.declaredType, body);
      // Clients send a content type, and some a body, with DELETE too; neither means anything.
      body.resume();
      return {};
    });
  }

  /** Stages 1 to 5. Throws what refuses; answers preflights itself. */
  private async guard(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const answered = await this.admit(request, reply);
    if (answered !== undefined) return answered;
    if (request.is404) throw notFound('Route');
    if (MALFORMED_QUERY in (request.query as object)) throw new GatehouseError('invalid_request', 'Malformed percent-encoding in URL');
    const { policy } = request.routeOptions.config;
    if (policy !== undefined) requireScopes(request.caller, policy);
    return undefined;
  }

  /** Stages 1 to 3, which hold for every request, whether it has a route or not. Answers preflights itself. */
  async admit(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    takeContentType(request);
    const policy = request.is404 ? undefined : request.routeOptions.config.policy;
    const isProduct = policy !== undefined || isProductPath(request.url);
    void reply.header('x-request-id', request.id).headers(corsHeaders(this.origins, request.headers.origin));
    if (isProduct) void reply.header('cache-control', 'no-store');
    if (request.method === 'OPTIONS') {
      return reply.headers(preflightHeaders(request.headers['access-control-request-headers'])).code(204).send();
    }
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      void reply.header('connection', 'close');
      throw new GatehouseError('invalid_request', 'The Host header is missing');
    }
    if (isProduct) await this.authenticate(request, reply, policy);
    return undefined;
  }

  private async authenticate(request: FastifyRequest, reply: FastifyReply, policy: RoutePolicy | undefined): Promise<void> {
    const { states, outcome } = await this.authenticator.admit(request.headers.authorization, request.ip, policy?.creates ?? false);
    void reply.headers(rateLimitHeaders(states));
    if ('refusal' in outcome) throw outcome.refusal;
    request.apiKey = outcome.key;
    request.caller = callerOf(outcome.key, request.id);
  }
}

const callerOf = (key: ApiKeyRow, requestId: string): Caller => ({ teamId: key.teamId, keyId: key.id, scopes: key.scopes, userId: key.userId, requestId });

const requireScopes = (caller: Caller | null, { scopes }: RoutePolicy): void => {
  const lacking = scopes.filter(scope => caller === null || !hasScope(caller.scopes, scope));
  if (lacking.length > 0) throw new GatehouseError('forbidden', `Missing scope: ${lacking.join(', ')}`);
};

/** Whether the body is bytes for the handler to read, rather than JSON. */
export const takesBytes = ({ routeOptions, query }: FastifyRequest): boolean => {
  const parameter = routeOptions.config.policy?.bytesWith;
  const given = parameter === undefined ? undefined : (query as Record<string, unknown>)[parameter];
  return given !== undefined && given !== '';
};

/**
 * Fastify refuses a content type that it cannot parse before anybody has looked whether there is a body, and for methods
 * whose body means nothing. It gets one that it can, and the body's reader the one that was sent.
 */
const takeContentType = (request: FastifyRequest): void => {
  const { headers } = request.raw;
  request.declaredType = headers['content-type'] ?? '';
  if (headers['content-type'] !== undefined) headers['content-type'] = 'application/octet-stream';
};

/**
 * Everything that could be read as a path of the product: without the origin that a request line may carry, without query
 * and fragment, escaped characters as themselves. Reading one too many as the product's costs a stranger a 401; one too few
 * would let requests pass uncounted.
 */
const isProductPath = (url: string): boolean => {
  const path = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').split(/[?#;]/, 1)[0] ?? '';
  const plain = path.includes('%') ? path.replace(/%([0-7][0-9a-f])/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16))) : path;
  return plain === '/v1' || plain.startsWith('/v1/');
};
