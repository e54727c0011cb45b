import type { Duplex } from 'node:stream';
import type { CommandProcess } from './command-process.cjs';
import { Failure, toFailure } from './failure.cjs';
import { CLIENT_FRAMES, FrameDecoder, FrameType, frameHeader, jsonFrame, type Frame } from './frames.cjs';
import type { Processes } from './processes.cjs';

type State = { at: 'waiting' } | { at: 'starting' } | { at: 'following'; command: CommandProcess } | { at: 'closed' };

/**
 * One upgraded connection that follows one command. Losing it kills the command's tree, unless the command is kept.
 * `begin` turns the first frame into a command and the offsets to follow it from.
 */
export class ExecConnection {
  private state: State = { at: 'waiting' };
  private readonly decoder = new FrameDecoder(CLIENT_FRAMES);
  private early: Frame[] = [];

  constructor(
    private readonly socket: Duplex,
    private readonly processes: Processes,
    private readonly begin: (specification: unknown) => Promise<{ command: CommandProcess; stdoutFrom: number; stderrFrom: number }>,
  ) {
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('end', () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.lost());
    socket.on('drain', () => this.eachOutput(output => output.resume()));
  }

  receive(chunk: Buffer): void {
    try {
      for (const frame of this.decoder.push(chunk)) this.handle(frame);
    } catch (_malformed) {
      this.socket.destroy();
    }
  }

  private handle(frame: Frame): void {
    if (this.state.at === 'waiting') {
      this.state = { at: 'starting' };
      void this.start(frame);
    } else if (this.state.at === 'starting') {
      this.early.push(frame);
    } else if (this.state.at === 'following') {
      this.input(this.state.command, frame);
    }
  }

  private async start(frame: Frame): Promise<void> {
    try {
      if (frame.type !== FrameType.spec) throw new Failure('bad-request', 'the first frame must be a specification');
      const { command, stdoutFrom, stderrFrom } = await this.begin(JSON.parse(frame.payload.toString()));
      if (this.state.at === 'closed') return this.abandon(command);
      this.follow(command, stdoutFrom, stderrFrom);
    } catch (error) {
      this.socket.end(jsonFrame(FrameType.error, toFailure(error)));
    }
  }

  private follow(command: CommandProcess, stdoutFrom: number, stderrFrom: number): void {
    this.state = { at: 'following', command };
    this.socket.write(jsonFrame(FrameType.started, { id: command.id, pid: command.pid }));
    const complete =
      command.stdout.attach(stdoutFrom, chunk => this.sendOutput(FrameType.stdout, chunk)) &&
      command.stderr.attach(stderrFrom, chunk => this.sendOutput(FrameType.stderr, chunk));
    if (!complete) throw new Failure('gone', 'the output from this offset on is no longer kept');
    for (const frame of this.early.splice(0)) this.input(command, frame);
    void command.exit.then(exit => {
      if (this.state.at === 'following') this.socket.end(jsonFrame(FrameType.exit, exit));
    });
  }

  private input(command: CommandProcess, { type, payload }: Frame): void {
    if (type === FrameType.signal) void this.processes.signal(command, payload.toString() as NodeJS.Signals).catch(() => this.socket.destroy());
    else if (type === FrameType.stdinEnd) command.stdin?.end();
    else if (type === FrameType.stdin && command.stdin?.writable && !command.stdin.write(payload)) this.holdBack(command.stdin);
  }

  private holdBack(stdin: NonNullable<CommandProcess['stdin']>): void {
    this.socket.pause();
    const proceed = () => this.socket.resume();
    stdin.once('drain', proceed).once('close', proceed);
  }

  private sendOutput(type: number, chunk: Buffer): boolean {
    this.socket.cork();
    this.socket.write(frameHeader(type, chunk.length));
    const ready = this.socket.write(chunk);
    this.socket.uncork();
    return ready;
  }

  private lost(): void {
    const { state } = this;
    this.state = { at: 'closed' };
    if (state.at === 'following') this.abandon(state.command);
  }

  private abandon(command: CommandProcess): void {
    if (!command.keep && command.running) void this.processes.kill(command).catch(() => undefined); // bounded by its timeout
    command.stdout.detach();
    command.stderr.detach();
  }

  private eachOutput(act: (output: CommandProcess['stdout']) => void): void {
    if (this.state.at !== 'following') return;
    act(this.state.command.stdout);
    act(this.state.command.stderr);
  }
}

