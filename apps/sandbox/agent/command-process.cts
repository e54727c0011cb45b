import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { asUser, COMMAND_UID, HOME } from './as-user.cjs';
import { Failure, toFailure } from './failure.cjs';
import { Output } from './output.cjs';
import type { Pipe, PipeStock } from './pipe-stock.cjs';
import { PROCESS_MARK } from './proc-table.cjs';

export interface CommandSpec {
  id: string;
  command?: string;
  argv?: string[];
  cwd: string;
  env: Record<string, string>;
  timeoutMs?: number;
  capBytes?: number;
  stdin?: boolean;
  keep?: boolean;
}

export interface CommandExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
  truncated: boolean;
  stdoutBytes: number;
  stderrBytes: number;
}

/** Linux takes at most 128 KiB in one argument; longer commands travel through a pipe on descriptor 3. */
const ARGUMENT_BYTES_MAX = 120 * 1024;
/** Read fd 3 to its end, close it, then run what was read: the command finds 0, 1 and 2 open and nothing else. */
const FROM_FD_3 = 'eval "exec 3<&-\n$(cat <&3)"';
const SHELL = existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh';
/** How long a background child that kept the pipes open may hold up the end of its parent. */
const GRACE_MS = 100;

const OOM_SCORE_AGENT = '500';
const OOM_SCORE_COMMAND = '1000';
const oomScore = openSync('/proc/self/oom_score_adj', 'r+');

let currentDirectory = '';

/** A command from its start to the end of its output. It ends when its main process does, whatever it left in the background. */
export class CommandProcess {
  readonly pid: number;
  readonly stdin: Writable | null;
  /** Settles once, after all output was taken. */
  readonly exit: Promise<CommandExit>;
  running = true;
  timedOut = false;

  private constructor(
    readonly id: string,
    readonly keep: boolean,
    private readonly child: ChildProcess,
    readonly stdout: Output,
    readonly stderr: Output,
  ) {
    this.pid = child.pid as number;
    this.stdin = child.stdin;
    this.stdin?.on('error', () => undefined); // the command closed its stdin: it does not want the rest
    this.exit = this.follow();
  }

  /** @throws {Failure} `bad-cwd`, `not-found`, `too-big` or `busy` */
  static async start(spec: CommandSpec, pipes: PipeStock): Promise<CommandProcess> {
    const long = spec.command !== undefined && Buffer.byteLength(spec.command) > ARGUMENT_BYTES_MAX;
    const taken: Pipe[] = [];
    let child: ChildProcess | undefined;
    try {
      taken.push(await pipes.take('from-child'), await pipes.take('from-child'));
      if (long) taken.push(await pipes.take('to-child'));
      child = launch(spec, taken, long);
      await started(child);
    } catch (error) {
      for (const pipe of taken) pipe.release(false);
      throw toFailure(error);
    } finally {
      for (const pipe of taken) closeSync(pipe.childFd);
    }
    const [out, err, script] = taken as [Pipe, Pipe, Pipe?];
    if (script) feed(script, spec.command as string);
    const cap = spec.capBytes ?? Infinity;
    return new CommandProcess(spec.id, spec.keep ?? false, child, new Output(out, cap, spec.keep ?? false), new Output(err, cap, spec.keep ?? false));
  }

  private async follow(): Promise<CommandExit> {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>(resolve => this.child.once('exit', (...how) => resolve(how)));
    this.running = false;
    await Promise.all([this.drain(this.stdout), this.drain(this.stderr)]);
    return {
      code,
      signal,
      timedOut: this.timedOut,
      truncated: this.stdout.truncated || this.stderr.truncated,
      stdoutBytes: this.stdout.bytes,
      stderrBytes: this.stderr.bytes,
    };
  }

  /** Whatever the main process wrote is in the pipe by now. A reader that holds us back is waited for; a silent pipe is not. */
  private async drain(output: Output): Promise<void> {
    let wasFlowing = false;
    const giveUp = setInterval(() => {
      if (wasFlowing && !output.paused) output.close();
      wasFlowing = !output.paused;
    }, GRACE_MS / 2);
    await output.ended;
    clearInterval(giveUp);
  }
}

/** Synchronous from the change of directory to the spawn: both are properties of the whole agent. */
function launch(spec: CommandSpec, pipes: Pipe[], long: boolean): ChildProcess {
  const [program, ...args] = spec.argv ?? [SHELL, '-c', long ? FROM_FD_3 : (spec.command as string)];
  if (!program) throw new Failure('bad-request', 'argv is empty');
  enter(spec.cwd);
  const childEnds = pipes.map(pipe => pipe.childFd);
  writeSync(oomScore, OOM_SCORE_COMMAND, 0);
  try {
    return spawn(program, args, {
      env: { ...spec.env, [PROCESS_MARK]: spec.id },
      uid: COMMAND_UID,
      gid: COMMAND_UID,
      detached: true,
      stdio: [spec.stdin ? 'pipe' : 'ignore', ...childEnds],
    });
  } finally {
    writeSync(oomScore, OOM_SCORE_AGENT, 0);
  }
}

/** As the command user, so that a directory only it may enter works and one it may not enter does not. */
function enter(directory: string): void {
  if (directory === HOME && currentDirectory === HOME) return;
  try {
    asUser(() => process.chdir(directory));
    currentDirectory = directory;
  } catch (error) {
    throw new Failure('bad-cwd', (error as Error).message);
  }
}

function started(child: ChildProcess): Promise<void> | undefined {
  if (child.pid !== undefined) return undefined;
  return new Promise((_resolve, reject) => child.once('error', reject));
}

function feed(script: Pipe, command: string): void {
  script.ours.once('error', () => undefined); // the shell is gone; how it ended is told by its exit
  script.ours.once('close', () => script.release(false));
  script.ours.end(command);
}
