import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import { GatehouseError, notFound, toGatehouseError } from '@gatehouse/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '@gatehouse/platform';
import type { CorsOrigins } from './cors.js';
import { corsHeaders } from './cors.js';
import { endSoon } from './end-soon.js';
import { owedAnswer } from './owed-answer.js';
import { requestIdOf } from './request-id.js';
import { isUploading } from './uploaded-bytes.js';

/** What the frameworks below us throw, in words of the contract. Everything not listed is a fault of ours. */
const FRAMEWORK_ERRORS: Readonly<Record<string, () => GatehouseError>> = {
  FST_ERR_BAD_URL: () => new GatehouseError('invalid_request', 'Malformed percent-encoding in URL'),
  FST_ERR_CTP_BODY_TOO_LARGE: () => new GatehouseError('invalid_request', 'Request body exceeds 10 MiB'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new GatehouseError('invalid_request', 'Content-Type must be application/json'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => new GatehouseError('invalid_request', 'Content-Length does not match the body'),
  ECONNRESET: () => new GatehouseError('invalid_request', 'The request ended before it was complete'),
  ERR_STREAM_PREMATURE_CLOSE: () => new GatehouseError('invalid_request', 'The request ended before it was complete'),
};

/** Nest turns some of them into its own exceptions, which keep only the status. */
const HTTP_EXCEPTIONS: Readonly<Record<number, () => GatehouseError>> = {
  400: () => new GatehouseError('invalid_request', 'The request is not readable'),
  404: () => notFound('Route'),
  413: () => new GatehouseError('invalid_request', 'Request body exceeds 10 MiB'),
  415: () => new GatehouseError('invalid_request', 'Content-Type must be application/json'),
};

/** Whatever was thrown while a request was served, as an error of the contract. */
export const contractErrorOf = (thrown: unknown): GatehouseError => {
  if (thrown instanceof GatehouseError) return thrown;
  if (thrown instanceof HttpException) return HTTP_EXCEPTIONS[thrown.getStatus()]?.() ?? toGatehouseError(thrown);
  const code = typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined;
  const known = typeof code === 'string' && Object.hasOwn(FRAMEWORK_ERRORS, code) ? FRAMEWORK_ERRORS[code] : undefined;
  return known?.() ?? toGatehouseError(thrown);
};

const UNREADABLE: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: 'Request header block exceeds 16 KiB',
  HPE_INVALID_EOF_STATE: 'The request ended before it was complete',
  ERR_HTTP_REQUEST_TIMEOUT: 'The request took too long to arrive',
};
const unreadable = ({ code = '' }: { readonly code?: string }): GatehouseError => new GatehouseError('invalid_request', UNREADABLE[code] ?? 'The request is not readable as HTTP');

/** Whoever reads a body must learn that there will be no more of it, also who begins only now: he would wait for ever. */
const tellReader = (request: IncomingMessage, error: GatehouseError): void => {
  const tell = (): boolean => request.listenerCount('error') > 0 && request.emit('error', error);
  if (tell()) return;
  request.on('newListener', event => {
    if (event === 'error') setImmediate(tell);
  });
};

/** The only writer of error bodies. Logs what is our fault, once, with the request's id. */
@Catch()
export class HttpErrorFilter implements ExceptionFilter {
  /** Connections that have been given up as unreadable. */
  private readonly given = new WeakSet<Socket>();

  constructor(
    private readonly logger: Logger,
    private readonly origins: CorsOrigins,
  ) {}

  catch(thrown: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    void this.send(thrown, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
  }

  /** Also the error handler of Fastify itself: hooks and body parsers do not pass through Nest. */
  send(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const error = contractErrorOf(thrown);
    if (error.status >= 500) this.log(error, request);
    if (error.retryAfter !== undefined) void reply.header('retry-after', String(error.retryAfter));
    return reply.code(error.status).type('application/json; charset=utf-8').send(JSON.stringify(error.toEnvelope()));
  }

  /** A failure without a cause came from a service, in whose log the cause stands under the same request id. */
  private log({ code, message, status, cause }: GatehouseError, { id: requestId, method, routeOptions }: FastifyRequest): void {
    const fields = { requestId, method, route: routeOptions.url, code, status, ...(cause === undefined ? { reason: message } : { err: cause }) };
    if (status === 503) this.logger.warn(fields, 'request failed: something is unavailable');
    else this.logger.error(fields, 'request failed');
  }

  /** Answers bytes that never became a request, after the answers that earlier requests of the connection still wait for, and closes it. */
  sendUnreadable(error: { code?: string }, socket: Socket): void {
    // An upload has a clock of its own.
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && isUploading(socket)) return;
    // Whatever follows on it is as unreadable, and needs no answer of its own.
    if (this.given.has(socket)) return;
    this.given.add(socket);
    socket.pause();
    this.finish(error, socket);
  }

  private finish(error: { code?: string }, socket: Socket): void {
    const owed = owedAnswer(socket);
    if (owed !== null && error.code !== 'ECONNRESET') {
      // Bytes of a body that is still coming have an answer already: that of their request.
      const isOfBody = !owed.req.complete;
      if (isOfBody) tellReader(owed.req, unreadable(error));
      owed.once('close', () => setImmediate(() => (isOfBody ? endSoon(socket) : this.finish(error, socket))));
      return;
    }
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const body = JSON.stringify(unreadable(error).toEnvelope());
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      'cache-control': 'no-store',
      'x-request-id': requestIdOf(undefined),
      ...corsHeaders(this.origins, undefined),
      connection: 'close',
    };
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`HTTP/1.1 400 Bad Request\r\n${head.join('')}\r\n${body}`);
    endSoon(socket);
  }
}
