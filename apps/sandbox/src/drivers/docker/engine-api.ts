import { type ClientRequest, type IncomingMessage, request, type RequestOptions } from 'node:http';
import type { Duplex, Readable } from 'node:stream';

/** The Docker Engine said no. */
export class EngineError extends Error {
  override readonly name = 'EngineError';

  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
export const OLDEST_API = '1.41';

export interface EngineVersion {
  Version: string;
  ApiVersion: string;
}

/** The parts of `GET /info` that matter here. */
export interface EngineInfo {
  OSType: string;
  DockerRootDir: string;
  SecurityOptions: string[] | null;
  Runtimes: Record<string, unknown>;
  MemoryLimit: boolean;
  SwapLimit: boolean;
  PidsLimit: boolean;
  CpuCfsQuota: boolean;
  CgroupVersion?: string;
}

export interface ImageInspection {
  Id: string;
  Config: { Volumes?: Record<string, object> | null } | null;
}

export interface ContainerSummary {
  Id: string;
  State: string;
  Labels: Record<string, string>;
}

export interface ContainerStats {
  memory_stats: { usage?: number };
  cpu_stats: { cpu_usage: { total_usage: number } };
  pids_stats: { current?: number };
}

export interface EngineEvent {
  Action: string;
  Actor: { ID: string };
  timeNano: number;
}

/** A container's outputs while somebody listens. */
export interface ContainerOutput {
  stream: Duplex;
  /** Bytes that came with the answer. */
  head: Buffer;
}

interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  query?: Record<string, string>;
  body?: object;
  timeoutMs?: number;
}

/**
 * The Docker Engine over its unix socket, as far as sandboxes need it (Engine API 1.41 and later). Every call has a deadline and
 * every answer a bound.
 * @see https://docs.docker.com/reference/api/engine/
 */
export class EngineApi {
  constructor(
    private readonly socketPath: string,
    private readonly timeoutMs = 15_000,
  ) {}

  version(): Promise<EngineVersion> {
    return this.ask({ method: 'GET', path: '/version' });
  }

  info(): Promise<EngineInfo> {
    return this.ask({ method: 'GET', path: '/info' });
  }

  /** @throws {EngineError} 404 when there is none */
  image(reference: string): Promise<ImageInspection> {
    return this.ask({ method: 'GET', path: `/images/${encodeURIComponent(reference)}/json` });
  }

  async create(name: string, body: object): Promise<string> {
    const { Id } = await this.ask<{ Id: string }>({ method: 'POST', path: '/containers/create', query: { name }, body });
    return Id;
  }

  async start(id: string): Promise<void> {
    await this.ask({ method: 'POST', path: `/containers/${id}/start` });
  }

  list(labels: readonly string[]): Promise<ContainerSummary[]> {
    return this.ask({ method: 'GET', path: '/containers/json', query: { all: 'true', filters: JSON.stringify({ label: labels }) } });
  }

  async pause(id: string): Promise<void> {
    await this.ask({ method: 'POST', path: `/containers/${id}/pause` });
  }

  async unpause(id: string): Promise<void> {
    await this.ask({ method: 'POST', path: `/containers/${id}/unpause` });
  }

  /** Running or not, with its anonymous volumes. Nothing happens when there is none. */
  async remove(id: string): Promise<void> {
    await this.ask({ method: 'DELETE', path: `/containers/${id}`, query: { force: 'true', v: 'true' } }).catch(ignoring(404));
  }

  stats(id: string): Promise<ContainerStats> {
    return this.ask({ method: 'GET', path: `/containers/${id}/stats`, query: { stream: 'false', 'one-shot': 'true' } });
  }

  /** Whether it ended within that time. */
  async endsWithin(id: string, timeoutMs: number): Promise<boolean> {
    try {
      await this.ask({ method: 'POST', path: `/containers/${id}/wait`, query: { condition: 'not-running' }, timeoutMs });
      return true;
    } catch (error) {
      if (error instanceof EngineError) return error.status === 404;
      if ((error as Error).name === 'TimeoutError') return false;
      throw error;
    }
  }

  /** What the container writes from now on, each chunk behind a header of eight bytes. */
  attach(id: string): Promise<ContainerOutput> {
    const call: Call = { method: 'POST', path: `/containers/${id}/attach`, query: { stream: 'true', stdout: 'true', stderr: 'true' } };
    return new Promise((resolve, reject) => {
      const asking = this.open(call, AbortSignal.timeout(this.timeoutMs), { connection: 'Upgrade', upgrade: 'tcp' });
      asking.on('upgrade', (_response, stream, head) => resolve({ stream, head }));
      asking.on('response', response => void this.read(response).then(text => reject(refusal(response, text)), reject));
      asking.on('error', reject).end();
    });
  }

  /** Events as they come, one JSON object per line; it goes on until it is destroyed or the engine ends. */
  events(labels: readonly string[], names: readonly string[], sinceSeconds: number): Promise<Readable> {
    const filters = JSON.stringify({ type: ['container'], label: labels, event: names });
    return this.answered({ method: 'GET', path: '/events', query: { filters, since: sinceSeconds.toFixed(9) } }, response => Promise.resolve(response));
  }

  private ask<T>(call: Call): Promise<T> {
    return this.answered(call, async response => {
      const text = await this.read(response);
      return (text.length > 0 ? JSON.parse(text) : undefined) as T;
    });
  }

  private async answered<T>(call: Call, read: (response: IncomingMessage) => Promise<T>): Promise<T> {
    // A deadline for the whole call; a stream lives on after it, so it must not hang on the signal.
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(new DOMException(`The Docker Engine did not answer ${call.method} ${call.path} in time`, 'TimeoutError')), call.timeoutMs ?? this.timeoutMs);
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const asking = this.open(call, deadline.signal);
        asking.on('response', resolve).on('error', reject);
        asking.end(call.body && JSON.stringify(call.body));
      });
      if ((response.statusCode ?? 500) >= 400) throw refusal(response, await this.read(response));
      return await read(response);
    } catch (error) {
      deadline.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  private open({ method, path, query, body }: Call, signal: AbortSignal, headers: Record<string, string> = {}): ClientRequest {
    const options: RequestOptions = { socketPath: this.socketPath, method, path: query ? `${path}?${new URLSearchParams(query)}` : path, signal, headers: { host: 'docker', ...headers, ...(body && { 'content-type': 'application/json' }) } };
    return request(options);
  }

  private async read(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) throw new Error('The Docker Engine answered more than was asked for');
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  }
}

export function ignoring(...statuses: number[]): (error: unknown) => undefined {
  return error => {
    if (!(error instanceof EngineError) || !statuses.includes(error.status)) throw error;
  };
}

function refusal(response: IncomingMessage, text: string): EngineError {
  let message = text.slice(0, 1000);
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? message;
  } catch (_notJson) {
    // Whatever stands in front of the engine says it in its own words.
  }
  return new EngineError(response.statusCode ?? 500, message);
}
