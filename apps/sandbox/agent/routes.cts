import type { IncomingMessage, ServerResponse } from 'node:http';
import { Failure, toFailure, type FailureCode } from './failure.cjs';
import type { Processes } from './processes.cjs';
import { makeDirectory, writeFile } from './user-files.cjs';

export const AGENT_VERSION = '1';
const BODY_BYTES_MAX = 8 * 1024 * 1024;
const STATUS: Readonly<Record<FailureCode, number>> = {
  'bad-request': 400, 'bad-cwd': 404, 'not-found': 404, 'too-big': 413, busy: 503, gone: 410, 'disk-full': 507, denied: 403, conflict: 409, failed: 500,
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
    'POST /v1/files/mkdir': ({ url }) => makeDirectory(pathOf(url)),
    'PUT /v1/files/content': ({ url, request }) => writeFile(pathOf(url), request, modeOf(url)),
  };

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://agent');
    const route = this.routes[`${request.method} ${url.pathname}`];
    try {
      if (!route) throw new Failure('not-found', 'no such call');
      const body = await route({ url, request, response });
      if (body !== HELD) send(response, 200, body ?? {});
    } catch (error) {
      const failure = toFailure(error);
      if (!response.headersSent) send(response, STATUS[failure.code], failure);
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

const HELD = Symbol('the response stays open');

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
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

function pathOf(url: URL): string {
  const path = url.searchParams.get('path');
  if (!path || path.includes('\0')) throw new Failure('bad-request', 'path missing');
  return path;
}

function modeOf(url: URL): number {
  const mode = Number(url.searchParams.get('mode') ?? 0o644);
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) throw new Failure('bad-request', 'mode out of range');
  return mode;
}
