import type { LookupAddress } from 'node:dns';
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { TLSSocket } from 'node:tls';
import { answering, hostOf } from './checked-address.js';
import { RefreshFailed } from './refresh-failed.js';
import type { Form } from './refresh-form.js';

const HEADER_BYTES_MAX = 16 * 1024;
const BODY_BYTES_MAX = 64 * 1024;

export interface HttpAnswer {
  readonly status: number;
  /** Null when it is longer than 64 KiB. */
  readonly body: string | null;
}

/**
 * Posts a form to one of the addresses that were checked, on a connection of its own: no agent, no proxy, no redirect. With https the
 * certificate must be good for the host name of the URL. Has no deadline but `signal`.
 * @throws RefreshFailed when no whole answer came.
 */
export const postForm = async (url: URL, { body, authorization }: Form, addresses: readonly LookupAddress[], signal: AbortSignal): Promise<HttpAnswer> => {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const request = send({
    method: 'POST',
    hostname: hostOf(url),
    port: url.port,
    path: url.pathname + url.search,
    headers: {
      accept: 'application/json',
      'accept-encoding': 'identity',
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': Buffer.byteLength(body),
      'user-agent': 'gatehouse',
      ...(authorization !== undefined && { authorization }),
    },
    agent: false,
    lookup: answering(addresses),
    maxHeaderSize: HEADER_BYTES_MAX,
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    signal,
  });
  try {
    const answered = answerTo(request);
    request.end(body);
    const response = await answered;
    return { status: response.statusCode ?? 0, body: await bounded(response) };
  } catch (error) {
    const untrusted = request.socket instanceof TLSSocket && Boolean(request.socket.authorizationError);
    throw new RefreshFailed(untrusted ? "The token endpoint's certificate is not trusted" : 'The connection to the token endpoint failed', { cause: error });
  } finally {
    request.destroy(); // an answer may come before the form was taken, and then nobody waits for the rest of it
  }
};

const answerTo = (request: ClientRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    request.on('response', resolve).on('error', reject);
    // An upgrade nobody asked for ends the connection without an error.
    request.on('close', () => reject(new Error('closed')));
  });

const bounded = async (response: IncomingMessage): Promise<string | null> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
};
