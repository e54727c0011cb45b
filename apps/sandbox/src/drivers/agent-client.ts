import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AgentViolation, parseHealth, parseObject, parseProcesses, parseRefusal, type AgentHealth } from './agent-answers.js';
import { encodeFrame, FrameType } from './agent-frames.js';
import { AgentProcess } from './agent-process.js';
import { Deadline } from './deadline.js';
import { DriverError } from './driver-error.js';
import type { ProcessSummary } from './sandbox.driver.js';

const CONTENT_TIMEOUT_MS = 120_000;
const HEADER_BYTES_MAX = 8 * 1024;
const BODY_BYTES_MAX = 1024 * 1024;

/** A new connection to the agent; every operation has its own, so there is nothing to rebuild. */
export type Dial = () => Socket;

export interface AgentConfiguration {
  env?: Record<string, string>;
  delegatedCgroup?: { commandMemoryBytes: number };
}

/** The specification of a command as it travels. */
export interface AgentExecSpec {
  id?: string;
  command?: string;
  argv?: string[];
  cwd: string;
  env: Record<string, string>;
  timeoutMs?: number;
  capBytes?: number;
  stdin?: boolean;
  keep?: boolean;
}

interface Call {
  method: 'GET' | 'POST' | 'PUT';
  path: string;
  body?: string | Uint8Array | Readable;
  timeoutMs?: number;
}

/**
 * The host's side of the agent's protocol: HTTP/1.1, one connection per call. Every byte that comes back is hostile:
 * header, body and frames are bounded, every call has a deadline, and what no agent would say is reported to
 * `onViolation` besides failing the call with `unavailable`.
 */
export class AgentClient {
  constructor(
    private readonly dial: Dial,
    private readonly onViolation: (error: Error) => void,
    /** For everything but the content of files. */
    private readonly timeoutMs: number,
  ) {}

  async health(timeoutMs = this.timeoutMs): Promise<AgentHealth> {
    return this.checked(parseHealth, await this.call({ method: 'GET', path: '/v1/health', timeoutMs }));
  }

  async processes(): Promise<ProcessSummary[]> {
    return this.checked(parseProcesses, await this.call({ method: 'GET', path: '/v1/processes' }));
  }

  async killAll(): Promise<void> {
    await this.call({ method: 'POST', path: '/v1/kill-all' });
  }

  async makeDirectory(path: string): Promise<void> {
    await this.call({ method: 'POST', path: `/v1/files/mkdir?${new URLSearchParams({ path })}` });
  }

  async writeFile(path: string, content: Uint8Array | Readable, mode: number): Promise<void> {
    const query = new URLSearchParams({ path, mode: String(mode) });
    await this.call({ method: 'PUT', path: `/v1/files/content?${query}`, body: content, timeoutMs: CONTENT_TIMEOUT_MS });
  }

  /**
   * Sets the agent up and calls `onEnd` once it is gone. One request for both: the agent has only just begun, and each first
   * question costs it some milliseconds. The returned function stops watching.
   */
  async attend(configuration: AgentConfiguration, onEnd: () => void, timeoutMs = this.timeoutMs): Promise<() => void> {
    const response = await this.answered({ method: 'POST', path: '/v1/attend', body: JSON.stringify(configuration), timeoutMs }, response => Promise.resolve(response));
    let watching = true;
    const end = () => {
      if (watching) onEnd();
      watching = false;
    };
    response.on('data', () => response.destroy()); // nothing is ever sent here
    response.on('error', end).on('close', end);
    return () => {
      watching = false;
      response.destroy();
    };
  }

  exec(spec: AgentExecSpec): Promise<AgentProcess> {
    return this.follow('/v1/exec', spec, spec.capBytes);
  }

  attach(id: string, from: { stdout: number; stderr: number }): Promise<AgentProcess> {
    return this.follow(`/v1/processes/${encodeURIComponent(id)}/attach`, { stdoutFrom: from.stdout, stderrFrom: from.stderr });
  }

  private async follow(path: string, spec: object, capBytes = Infinity): Promise<AgentProcess> {
    const call: Call = { method: 'POST', path };
    const deadline = new Deadline(this.timeoutMs);
    const request = this.request(call, { connection: 'Upgrade', upgrade: 'gatehouse-exec/1' });
    try {
      return await new Promise<AgentProcess>((resolve, reject) => {
        deadline.onPass(error => request.destroy(error));
        request.on('upgrade', (_response, socket: Duplex, head: Buffer) => {
          const followed = new AgentProcess(socket, head, capBytes, this.onViolation);
          deadline.onPass(error => {
            followed.detach();
            reject(error);
          });
          socket.write(encodeFrame(FrameType.spec, JSON.stringify(spec)));
          followed.started.then(resolve, reject);
        });
        request.on('response', () => reject(this.violated(new AgentViolation('no upgrade'))));
        request.on('error', error => reject(this.translate(error)));
        request.end();
      });
    } finally {
      deadline.clear();
    }
  }

  private call(call: Call): Promise<Record<string, unknown>> {
    return this.answered(call, async (response, deadline) => parseObject(await this.text(response, deadline)));
  }

  /** What `read` makes of the answer, in time. @throws {DriverError} also when the agent refuses */
  private async answered<T>(call: Call, read: (response: IncomingMessage, deadline: Deadline) => Promise<T>): Promise<T> {
    const deadline = new Deadline(call.timeoutMs ?? this.timeoutMs);
    try {
      const response = await this.open(call, deadline);
      if (response.statusCode !== 200) throw parseRefusal(await this.text(response, deadline));
      return await read(response, deadline);
    } catch (error) {
      throw this.translate(error);
    } finally {
      deadline.clear();
    }
  }

  private async open(call: Call, deadline: Deadline): Promise<IncomingMessage> {
    const request = this.request(call, call.body instanceof Readable ? { 'transfer-encoding': 'chunked' } : {});
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        deadline.onPass(error => request.destroy(error));
        request.on('response', resolve).on('error', reject);
        request.on('upgrade', (_response, socket: Duplex) => {
          socket.destroy();
          reject(new AgentViolation('an upgrade nobody asked for'));
        });
        // A refusal may come before all content was sent; then the answer counts and not the broken pipe.
        if (call.body instanceof Readable) pipeline(call.body, request).catch(reject);
        else request.end(call.body);
      });
    } catch (error) {
      request.destroy();
      throw this.translate(error);
    }
  }

  private async text(response: IncomingMessage, deadline: Deadline): Promise<string> {
    deadline.onPass(error => response.destroy(error));
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > BODY_BYTES_MAX) throw new AgentViolation('answer too long');
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  }

  private request({ method, path }: Call, headers: Record<string, string>): ClientRequest {
    return httpRequest({ method, path, headers, maxHeaderSize: HEADER_BYTES_MAX, createConnection: this.dial });
  }

  private checked<T>(parse: (body: Record<string, unknown>) => T, body: Record<string, unknown>): T {
    try {
      return parse(body);
    } catch (error) {
      throw this.translate(error);
    }
  }

  private translate(error: unknown): DriverError {
    if (error instanceof DriverError) return error;
    if (error instanceof AgentViolation) return this.violated(error);
    const { code } = error as NodeJS.ErrnoException;
    if (code?.startsWith('HPE_')) return this.violated(error as Error);
    return new DriverError('unavailable', 'The sandbox does not answer', error);
  }

  private violated(error: Error): DriverError {
    this.onViolation(error);
    return new DriverError('unavailable', 'The sandbox does not answer sensibly', error);
  }
}
