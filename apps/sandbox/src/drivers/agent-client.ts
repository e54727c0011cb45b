import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { AgentViolation, parseHealth, parseObject, parseProcesses, parseRefusal, type AgentHealth, type Json } from './agent-answers.js';
import { SentContent } from './agent-content.js';
import { encodeFrame, FrameType, SPEC_BYTES_MAX } from './agent-frames.js';
import { AgentProcess } from './agent-process.js';
import { Deadline } from './deadline.js';
import { DriverError } from './driver-error.js';
import type { ProcessSummary } from './sandbox.driver.js';

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

export interface AgentCall {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: string | Uint8Array | SentContent;
  /** How long the agent may take, or be silent while content travels. */
  timeoutMs?: number;
  /** Of the answer. */
  bytesMax?: number;
  /** What a refusal means. */
  refusal?: (text: string) => DriverError;
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

  health(timeoutMs = this.timeoutMs): Promise<AgentHealth> {
    return this.ask({ method: 'GET', path: '/v1/health', timeoutMs }, parseHealth);
  }

  processes(): Promise<ProcessSummary[]> {
    return this.ask({ method: 'GET', path: '/v1/processes' }, parseProcesses);
  }

  killAll(): Promise<void> {
    return this.ask({ method: 'POST', path: '/v1/kill-all' }, () => undefined);
  }

  /** A question with an answer in JSON. @throws {DriverError} */
  ask<T>(call: AgentCall, parse: (body: Json) => T): Promise<T> {
    return this.answered(call, async (response, deadline, request) => {
      const answer = parse(parseObject(await this.text(call, response, deadline)));
      request.destroy(); // an answer may come before all was sent
      return answer;
    });
  }

  /** What `read` makes of an answer that is not JSON, or never ends. It is for `read` to let go of it. @throws {DriverError} */
  async answered<T>(call: AgentCall, read: (response: IncomingMessage, deadline: Deadline, request: ClientRequest) => Promise<T>): Promise<T> {
    const deadline = new Deadline(call.timeoutMs ?? this.timeoutMs);
    const request = this.request(call, call.body instanceof SentContent ? { 'transfer-encoding': 'chunked' } : {});
    try {
      const response = await this.send(request, call, deadline);
      if (response.statusCode !== 200) throw (call.refusal ?? parseRefusal)(await this.text(call, response, deadline));
      return await read(response, deadline, request);
    } catch (error) {
      request.destroy();
      throw this.translate(error);
    } finally {
      deadline.clear();
    }
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

  private async follow(path: string, specification: object, capBytes = Infinity): Promise<AgentProcess> {
    const spec = encodeFrame(FrameType.spec, JSON.stringify(specification));
    if (spec.length > SPEC_BYTES_MAX) throw new DriverError('failed', 'The command and its environment are too large');
    const call: AgentCall = { method: 'POST', path };
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
          socket.write(spec);
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

  private send(request: ClientRequest, { body }: AgentCall, deadline: Deadline): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      deadline.onPass(error => request.destroy(error));
      request.on('response', resolve).on('error', reject);
      request.on('upgrade', (_response, socket: Duplex) => {
        socket.destroy();
        reject(new AgentViolation('an upgrade nobody asked for'));
      });
      if (body instanceof SentContent) void body.into(request, deadline);
      else request.end(body);
    });
  }

  private async text({ bytesMax = BODY_BYTES_MAX }: AgentCall, response: IncomingMessage, deadline: Deadline): Promise<string> {
    deadline.onPass(error => response.destroy(error));
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new AgentViolation('answer too long');
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString();
  }

  private request({ method, path }: AgentCall, headers: Record<string, string>): ClientRequest {
    return httpRequest({ method, path, headers, maxHeaderSize: HEADER_BYTES_MAX, createConnection: this.dial });
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
