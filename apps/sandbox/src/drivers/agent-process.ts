import { Readable, Writable, type Duplex } from 'node:stream';
import { AgentViolation, parseExit, parseRefusal, parseStarted } from './agent-answers.js';
import { AGENT_FRAMES, encodeFrame, FRAME_BYTES_MAX, FrameDecoder, FrameError, FrameType, type Frame } from './agent-frames.js';
import { DriverError } from './driver-error.js';
import type { ProcessExit, RemoteProcess } from './sandbox.driver.js';

/**
 * The host's end of one exec connection. Output is pushed into two streams; while either is full nothing more is read, so
 * the kernel holds the agent back. Anything out of order is a violation and ends the connection.
 */
export class AgentProcess implements RemoteProcess {
  id = '';
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exit: Promise<ProcessExit>;
  /** Resolves with this process once the agent says it runs. */
  readonly started: Promise<this>;

  private readonly decoder = new FrameDecoder(AGENT_FRAMES);
  private readonly full = new Set<Readable>();
  private readonly received = { stdout: 0, stderr: 0 };
  private state: 'starting' | 'running' | 'over' = 'starting';
  private readonly settleStarted: PromiseWithResolvers<this>;
  private readonly settleExit: PromiseWithResolvers<ProcessExit>;

  constructor(
    private readonly socket: Duplex,
    head: Buffer,
    private readonly capBytes: number,
    private readonly onViolation: (error: Error) => void,
  ) {
    this.settleStarted = withResolvers<this>();
    this.settleExit = withResolvers<ProcessExit>();
    this.started = this.settleStarted.promise;
    this.exit = this.settleExit.promise;
    this.exit.catch(() => undefined); // whoever asks is told; nobody has to ask
    this.stdout = this.output();
    this.stderr = this.output();
    this.stdin = this.input();

    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', error => this.over(new DriverError('unavailable', 'The sandbox does not answer', error)));
    socket.on('close', () => this.over(new DriverError('unavailable', 'The sandbox went away')));
    if (head.length > 0) this.receive(head);
  }

  signal(name: NodeJS.Signals): void {
    if (this.state !== 'over') this.socket.write(encodeFrame(FrameType.signal, name));
  }

  kill(): void {
    this.signal('SIGKILL');
  }

  detach(): void {
    this.over(new DriverError('unavailable', 'No longer followed'));
  }

  private receive(chunk: Buffer): void {
    try {
      for (const frame of this.decoder.push(chunk)) if (this.state !== 'over') this.handle(frame);
    } catch (error) {
      if (!(error instanceof AgentViolation) && !(error instanceof FrameError)) throw error;
      this.over(new DriverError('unavailable', 'The sandbox does not answer sensibly', error));
      this.onViolation(error);
    }
  }

  private handle({ type, payload }: Frame): void {
    if (type === FrameType.error) return this.over(parseRefusal(payload.toString()));
    if ((type === FrameType.started) !== (this.state === 'starting')) throw new AgentViolation('frame out of order');
    if (type === FrameType.started) this.begin(payload);
    else if (type === FrameType.exit) this.finish(parseExit(payload.toString()));
    else this.take(type === FrameType.stdout ? 'stdout' : 'stderr', payload);
  }

  private begin(payload: Buffer): void {
    this.id = parseStarted(payload.toString()).id;
    this.state = 'running';
    this.settleStarted.resolve(this);
  }

  private take(name: 'stdout' | 'stderr', payload: Buffer): void {
    this.received[name] += payload.length;
    if (this.received[name] > this.capBytes) throw new AgentViolation('more output than the cap allows');
    const stream = this[name];
    if (stream.destroyed || stream.push(payload)) return;
    this.full.add(stream);
    this.socket.pause();
  }

  private finish(exit: ProcessExit): void {
    this.settleExit.resolve(exit);
    this.stdout.push(null);
    this.stderr.push(null);
    this.close();
  }

  private over(error: DriverError): void {
    if (this.state === 'over') return;
    this.settleStarted.reject(error);
    this.settleExit.reject(error);
    for (const stream of [this.stdout, this.stderr]) {
      stream.on('error', () => undefined); // the same error as that of `exit`
      stream.destroy(error);
    }
    this.close();
  }

  private close(): void {
    this.state = 'over';
    this.stdin.destroy();
    this.socket.destroy();
  }

  private output(): Readable {
    const proceed = (stream: Readable) => {
      this.full.delete(stream);
      if (this.full.size === 0) this.socket.resume();
    };
    return new Readable({
      read() {
        proceed(this);
      },
      destroy(error, done) {
        proceed(this);
        done(error);
      },
    });
  }

  private input(): Writable {
    const send = (frame: Buffer, done: () => void) => {
      if (this.state === 'over') done();
      else this.socket.write(frame, () => done()); // a failed write ends the connection, which says so
    };
    return new Writable({
      write(chunk: Buffer, _encoding, done) {
        const frames: Buffer[] = [];
        for (let at = 0; at < chunk.length; at += FRAME_BYTES_MAX) frames.push(encodeFrame(FrameType.stdin, chunk.subarray(at, at + FRAME_BYTES_MAX)));
        send(Buffer.concat(frames), done);
      },
      final(done) {
        send(encodeFrame(FrameType.stdinEnd), done);
      },
    });
  }
}

interface PromiseWithResolvers<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((onFulfilled, onRejected) => {
    resolve = onFulfilled;
    reject = onRejected;
  });
  return { promise, resolve, reject };
}
