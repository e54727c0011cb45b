import type { IncomingMessage, ServerResponse } from 'node:http';
import { Failure, toFailure, type FailureCode } from './failure.cjs';
import { sendFile, writeFile } from './file-content.cjs';
import type { Processes } from './processes.cjs';
import { renameFile } from './rename-file.cjs';
import { listFiles, makeDirectory, removeFile, statFile } from './user-files.cjs';

export const AGENT_VERSION = '1';
const BODY_BYTES_MAX = 8 * 1024 * 1024;
const DEPTH_MAX = 20;
const ENTRIES_MAX = 10_000;
/** A trailer of content that is not all there was to be. */
const INCOMPLETE = 'gatehouse-incomplete';
const STATUS: Readonly<Record<FailureCode, number>> = {
  'bad-request': 400, 'bad-cwd': 404, 'not-found': 404, 'too-big': 413, busy: 503, gone: 410, 'disk-full': 507, denied: 403, conflict: 409, failed: 500,
  'not-a-file': 400, 'not-a-directory': 400, 'of-kernel': 400, occupied: 409, 'too-large': 413, 'across-mounts': 403, incomplete: 400,
};

/** What the service tells the agent: all of it once per start, nothing when it takes over a sandbox that runs. */
export interface Configuration {
  /** Under the environment of every command. */
  env?: Record<string, string>;
  /** Present when the sandbox's cgroup was handed to its root. */
  delegatedCgroup?: { commandMemoryBytes: number };
}

interface Call {
  url: URL;
  request: IncomingMessage;
  response: ServerResponse;
}

/** The requests of the agent that are not upgrades; each answers a JSON value, or holds its response open. */
export class Routes {
  env: Record<string, string> = {};

  constructor(private readonly processes: Processes) {}

  private readonly routes: Readonly<Record<string, (call: Call) => unknown>> = {
    'GET /v1/health': () => ({ agentVersion: AGENT_VERSION, uptimeMs: Math.round(process.uptime() * 1000), processes: this.processes.list().length }),
    'POST /v1/attend': async ({ request, response }) => this.attend((await readJson(request)) as Configuration, response),
    'GET /v1/processes': () => ({ processes: this.processes.list() }),
    'POST /v1/kill-all': () => this.processes.killAll(),
    'GET /v1/files/content': async ({ url, response }) => {
      await sendFile(pathOf(url), response);
      return HELD;
    },
    'PUT /v1/files/content': ({ url, request }) => {
      const options = { mode: numberOf(url, 'mode', { max: 0o777, otherwise: 0o644 }), maxBytes: numberOf(url, 'maxBytes', { otherwise: Number.MAX_SAFE_INTEGER }) };
      return writeFile(pathOf(url), request, options, () => request.trailers[INCOMPLETE] === undefined);
    },
    'GET /v1/files/stat': ({ url }) => statFile(pathOf(url)),
    'GET /v1/files/list': async ({ url, response }) => {
      const options = { depth: numberOf(url, 'depth', { min: 1, max: DEPTH_MAX, otherwise: 1 }), maxEntries: numberOf(url, 'maxEntries', { max: ENTRIES_MAX, otherwise: ENTRIES_MAX }) };
      const list = await listFiles(pathOf(url), options, () => !response.destroyed);
      if (list !== null) sendJson(response, 200, list);
      return HELD;
    },
    'POST /v1/files/mkdir': ({ url }) => makeDirectory(pathOf(url)),
    'POST /v1/files/rename': ({ url }) => renameFile(pathOf(url), pathOf(url, 'to')),
    'DELETE /v1/files': ({ url }) => removeFile(pathOf(url)),
  };

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = urlOf(request);
      const route = this.routes[`${request.method} ${url.pathname}`];
      if (!route) throw new Failure('bad-request', 'no such call');
      const body = await route({ url, request, response });
      if (body !== HELD) sendJson(response, 200, JSON.stringify(body ?? {}));
    } catch (error) {
      const failure = toFailure(error);
      if (response.headersSent) response.destroy();
      else sendJson(response, STATUS[failure.code], JSON.stringify(failure));
    }
  }

  /** Open from then on until one side is gone: its end tells the service that the sandbox ended. */
  private attend({ env, delegatedCgroup }: Configuration, response: ServerResponse): typeof HELD {
    this.env = { ...this.env, ...env };
    if (delegatedCgroup) this.processes.useCgroups(delegatedCgroup.commandMemoryBytes);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' }).flushHeaders();
    return HELD;
  }
}

const HELD = Symbol('the response was or will be sent otherwise');

/** The connection stays open until the request was read, or given up by the other side: closed before, it could swallow the answer. */
function sendJson(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  const { req: request } = response;
  if (request.complete || request.destroyed) return void response.end(text);
  response.write(text);
  request.once('close', () => response.end()).resume();
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Failure('too-big', 'body too large');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString());
}

function urlOf({ url = '/' }: IncomingMessage): URL {
  if (!URL.canParse(url, 'http://agent')) throw new Failure('bad-request', 'no such call');
  return new URL(url, 'http://agent');
}

function pathOf(url: URL, name = 'path'): string {
  const path = url.searchParams.get(name);
  if (!path || path.includes('\0')) throw new Failure('bad-request', `${name} missing`);
  return path;
}

function numberOf(url: URL, name: string, { min = 0, max = Number.MAX_SAFE_INTEGER, otherwise }: { min?: number; max?: number; otherwise: number }): number {
  const value = Number(url.searchParams.get(name) ?? otherwise);
  if (!Number.isSafeInteger(value) || value < min || value > max) throw new Failure('bad-request', `${name} out of range`);
  return value;
}
