import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Logger, NestLogger } from '@gatehouse/platform';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { announceDeprecations } from './edge/deprecated.decorator.js';
import { Edge } from './edge/edge.js';
import { HttpErrorFilter } from './edge/http-error.filter.js';
import { owedAnswer } from './edge/owed-answer.js';
import { parseQuery } from './edge/query-string.js';
import { requestIdOf } from './edge/request-id.js';
import { BODY_BYTES_MAX } from './edge/request-body.js';
import { type GatewayContext, GatewayModule } from './gateway.module.js';

const HEADER_BLOCK_BYTES_MAX = 16 * 1024;
/** A request must have arrived whole within this time. */
const REQUEST_TIMEOUT_MS = 300_000;

/** Builds the gateway without listening. */
export const createGateway = async (context: GatewayContext): Promise<NestFastifyApplication> => {
  // Made by the module, which is made with the adapter: before that nothing can arrive.
  const made: { edge?: Edge; errors?: HttpErrorFilter } = {};
  const { TRUST_PROXY } = context.config;
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_BYTES_MAX,
    exposeHeadRoutes: true,
    forceCloseConnections: 'idle',
    genReqId: ({ headers }: { headers: IncomingMessage['headers'] }) => requestIdOf(headers['x-request-id']),
    http: { maxHeaderSize: HEADER_BLOCK_BYTES_MAX, requireHostHeader: false },
    logger: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    return503OnClosing: false,
    routerOptions: { caseSensitive: true, ignoreTrailingSlash: true, maxParamLength: HEADER_BLOCK_BYTES_MAX, querystringParser: parseQuery },
    trustProxy: TRUST_PROXY.length > 0 ? TRUST_PROXY : false,
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => made.errors?.sendUnreadable(error, socket),
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      // A URL that cannot be decoded has no route and passes no hook, but its credential is looked at first all the same.
      const sent = (made.edge?.admit(request, reply) ?? Promise.resolve(undefined)).then(answered => answered ?? made.errors?.send(error, request, reply));
      void sent.catch((refusal: unknown) => made.errors?.send(refusal, request, reply));
    },
  });
  const app = await NestFactory.create<NestFastifyApplication>(GatewayModule.forRoot(context), adapter, { bodyParser: false, logger: new NestLogger(context.logger), abortOnError: false });
  const edge = app.get<Edge>(Edge);
  Object.assign(made, { edge, errors: app.get<HttpErrorFilter>(HttpErrorFilter) });
  edge.install(adapter.getInstance());
  announceDeprecations(adapter.getInstance());
  if (context.config.LOG_REQUESTS) logRequests(adapter.getInstance(), context.logger);
  closeWhatFallsIdle(adapter.getInstance());
  // Node answers these itself, without our envelope: an expectation we do not know is no reason to refuse a request.
  const server = adapter.getHttpServer();
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('connect', (_request: IncomingMessage, socket: Socket) => made.errors?.sendUnreadable({}, socket));
  return app;
};

const IDLE_LOOK_MS = 50;

/**
 * While it closes, a connection ends as soon as no answer is owed on it: neither a client's idle keep-alive nor one that
 * never finishes a request's head may hold up the end.
 */
const closeWhatFallsIdle = (fastify: FastifyInstance): void => {
  const sockets = new Set<Socket>();
  fastify.server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  fastify.addHook('preClose', done => {
    const timer = setInterval(() => {
      for (const socket of sockets) if (owedAnswer(socket) === null) socket.destroySoon();
    }, IDLE_LOOK_MS);
    fastify.server.once('close', () => clearInterval(timer));
    done();
  });
};

/** The route, never the URL: a query may hold what is nobody's business. */
const logRequests = (fastify: FastifyInstance, logger: Logger): void => {
  fastify.addHook('onResponse', async (request, reply) => {
    const { method, id: requestId, caller } = request;
    logger.info({ requestId, method, route: request.is404 ? null : request.routeOptions.url, status: reply.statusCode, ms: Math.round(reply.elapsedTime), ...(caller === null ? {} : { teamId: caller.teamId, keyId: caller.keyId }) }, 'request');
  });
};
