import { spawn } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { Failure } from './failure.cjs';

const DIRECTORY = '/dev/.gatehouse';
const BATCH = 16;
const LOW = 4;

/** One end is ours and non-blocking, the other is for a child and blocks; close it once the child has it. */
export interface Pipe {
  ours: Socket;
  childFd: number;
  /** Give the pipe back. One that saw its end of file has no writer left and may serve again. */
  release(sawEnd: boolean): void;
}

/**
 * Real pipes for the output of commands. Node gives a child socket pairs, which cannot be opened again, so
 * `echo x > /dev/stderr` would fail with ENXIO. Node cannot make pipes, so named ones are kept in stock in a
 * directory nobody else may enter; the names cost a process per batch and not one per command.
 */
export class PipeStock {
  private readonly free: string[] = [];
  private made = 0;
  private refilling: Promise<void> | undefined;
  private maker: number | undefined;

  constructor() {
    mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
  }

  /** The process that is making pipes: the agent's own, not a command. */
  get refillPid(): number | undefined {
    return this.maker;
  }

  /** `from-child` is read by us, `to-child` written. @throws {Failure} `busy` when no more can be made */
  async take(direction: 'from-child' | 'to-child'): Promise<Pipe> {
    while (this.free.length === 0) await this.refill(); // others may be faster, but each batch serves some
    const path = this.free.pop() as string;
    if (this.free.length < LOW) this.refill().catch(() => undefined); // the next taker meets the error
    return this.open(path, direction);
  }

  refill(): Promise<void> {
    this.refilling ??= this.make().finally(() => (this.refilling = undefined));
    return this.refilling;
  }

  private make(): Promise<void> {
    const paths = Array.from({ length: BATCH }, () => `${DIRECTORY}/${this.made++}`);
    return new Promise((resolve, reject) => {
      const child = spawn('mkfifo', ['-m', '666', ...paths], { stdio: 'ignore', cwd: '/' });
      this.maker = child.pid;
      child.on('error', reject);
      child.on('exit', code => {
        this.maker = undefined;
        if (code !== 0) {
          for (const path of paths) rmSync(path, { force: true }); // those it made before it failed
          return reject(new Failure('busy', `mkfifo ended with ${code}`));
        }
        this.free.push(...paths);
        resolve();
      });
    });
  }

  private open(path: string, direction: 'from-child' | 'to-child'): Pipe {
    // A pipe opened for reading and writing never blocks; with it in place neither do the two real ends.
    const hold = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const readable = direction === 'from-child';
    const fd = openSync(path, (readable ? constants.O_RDONLY : constants.O_WRONLY) | constants.O_NONBLOCK);
    const childFd = openSync(path, readable ? constants.O_WRONLY : constants.O_RDONLY);
    closeSync(hold);
    const ours = new Socket({ fd, readable, writable: !readable });
    return {
      ours,
      childFd,
      release: sawEnd => {
        ours.destroy();
        if (sawEnd) this.free.push(path);
        else unlinkSync(path);
      },
    };
  }
}
