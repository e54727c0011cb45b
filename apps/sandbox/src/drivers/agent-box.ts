import { constants } from 'node:os';
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { AgentClient, type AgentConfiguration, type AgentExecSpec, type Dial } from './agent-client.js';
import { AgentFiles } from './agent-files.js';
import type { AgentProcess } from './agent-process.js';
import { DriverError } from './driver-error.js';
import type { DriverLogger } from './driver-logger.js';
import { HeldOutput, type HeldShare } from './held-output.js';
import type { BoxRef, BoxStats, ExecOptions, ExecResult, ExitReason, ProcessSummary, RemoteProcess, SandboxFiles, SandboxHandle, SpawnOptions } from './sandbox.driver.js';

const HOME = '/home/user';
/** The agent of a sandbox that has been there a while is idle: it answers at once, or it is lost. */
const IDLE_TIMEOUT_MS = 1_000;
const EXEC_TIMEOUT_MS = 60_000;
const EXEC_CAP_BYTES = 10 * 1024 * 1024;
/** Of all commands of this process that have not ended yet. */
const heldOutput = new HeldOutput(256 * 1024 * 1024);

/** The way to the agent of one box. */
interface AgentConnection {
  readonly dial: Dial;
  close(): void;
}

/** What a driver does from outside for a box it has made. What rejects is told as the failure of the driver. */
export interface BoxHost {
  /** Since the start of the box. Rejects when the box is gone. */
  oomKills(): Promise<number>;
  stats(): Promise<BoxStats>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends every process of the box and removes all but its disk. */
  tearDown(): Promise<void>;
  removeDisk(): Promise<void>;
}

export interface AgentBoxOptions {
  readonly log: DriverLogger;
  /** How long the agent may be silent. */
  readonly agentTimeoutMs: number;
}

/** A running sandbox with an agent inside, whoever runs it. It ends once, for one reason, and is torn down before anybody is told. */
export class AgentBox implements SandboxHandle {
  readonly files: SandboxFiles;
  private readonly client: AgentClient;
  private readonly listeners: ((why: ExitReason) => void)[] = [];
  private stopWatching: () => void = () => undefined;
  private ending: Promise<void> | undefined;
  private ended: ExitReason | undefined;
  private paused = false;
  /** Until then a failure is that of the start or the adoption, which clears up itself. */
  private begun = false;
  private oomKillsSeen = 0;

  constructor(
    private name: BoxRef,
    private readonly agent: AgentConnection,
    private readonly host: BoxHost,
    private readonly options: AgentBoxOptions,
  ) {
    this.client = new AgentClient(agent.dial, error => this.violated(error), options.agentTimeoutMs);
    const files = new AgentFiles(this.client, options.agentTimeoutMs);
    this.files = {
      write: (path, content, options) => this.ask(() => files.write(insidePath(path), content, options)),
      read: path =>
        this.ask(async () => {
          const found = await files.read(insidePath(path));
          found.content.once('error', error => this.doubt(error));
          return found;
        }),
      stat: path => this.ask(() => files.stat(insidePath(path))),
      list: (path, options) => this.ask(() => files.list(insidePath(path), options)),
      mkdir: path => this.ask(() => files.mkdir(insidePath(path))),
      rename: (from, to) => this.ask(() => files.rename(insidePath(from), insidePath(to))),
      remove: path => this.ask(() => files.remove(insidePath(path))),
    };
  }

  /** Sets the agent up (a fresh start only) and watches it from then on. */
  async begin(configuration?: AgentConfiguration): Promise<void> {
    [this.oomKillsSeen] = await Promise.all([this.host.oomKills(), this.attend(configuration)]);
    this.begun = true;
  }

  /** The name of a box that nobody has used yet. */
  rename(ref: BoxRef): void {
    this.name = ref;
  }

  /** Adds to the configuration of an agent that has begun. */
  async configure(configuration: AgentConfiguration): Promise<void> {
    const stopWatchingTwice = await this.client.attend(configuration, () => undefined, IDLE_TIMEOUT_MS);
    stopWatchingTwice();
  }

  private async attend(configuration?: AgentConfiguration): Promise<void> {
    this.stopWatching = await this.client.attend(configuration ?? {}, () => void this.vanished(), configuration ? undefined : IDLE_TIMEOUT_MS);
    // Given up meanwhile: nobody would stop it any more.
    if (this.ending) this.stopWatching();
  }

  get ref(): BoxRef {
    return this.name;
  }

  get isRunning(): boolean {
    return !this.ending;
  }

  /** Lets go of the sandbox without ending it; this handle is of no use afterwards. */
  release(): void {
    this.ending ??= Promise.resolve();
    this.stopWatching();
    this.agent.close();
  }

  spawn({ run, keep, cwd, env = {}, ...rest }: SpawnOptions): Promise<RemoteProcess> {
    return this.start({ ...run, ...rest, env, cwd: insidePath(cwd ?? HOME), ...(keep && { id: keep.id, keep: true }) });
  }

  attach(processId: string, from: { stdout: number; stderr: number }): Promise<RemoteProcess> {
    return this.ask(() => this.client.attach(processId, from));
  }

  async exec({ signal, command, env = {}, cwd, timeoutMs = EXEC_TIMEOUT_MS, capBytes = EXEC_CAP_BYTES }: ExecOptions): Promise<ExecResult> {
    signal?.throwIfAborted();
    const process = await this.start({ command, cwd: insidePath(cwd ?? HOME), env, timeoutMs, capBytes });
    const abort = () => process.detach();
    const silence = setTimeout(() => {
      process.detach();
      this.violated(new Error('a command outlived its time'));
    }, timeoutMs + this.options.agentTimeoutMs);
    signal?.addEventListener('abort', abort);
    if (signal?.aborted) abort();
    let gaveWay = false;
    const share = heldOutput.open(() => {
      gaveWay = true;
      process.detach();
    });
    try {
      const [stdout, stderr, exit] = await Promise.all([collect(process.stdout, share), collect(process.stderr, share), process.exit]);
      if (exit.signal === 'SIGKILL') this.oomKillsSeen = await this.host.oomKills().catch(() => this.oomKillsSeen); // the box ends: `vanished` decides
      return { stdout, stderr, exitCode: exit.code ?? 128 + constants.signals[exit.signal ?? 'SIGKILL'], signal: exit.signal, timedOut: exit.timedOut, truncated: exit.truncated };
    } catch (error) {
      signal?.throwIfAborted();
      throw gaveWay ? new DriverError('unavailable', 'The commands that run on this node have more output than it can hold', error) : error;
    } finally {
      share.close();
      clearTimeout(silence);
      signal?.removeEventListener('abort', abort);
    }
  }

  processes(): Promise<ProcessSummary[]> {
    return this.ask(() => this.client.processes());
  }

  killAll(): Promise<void> {
    return this.ask(() => this.client.killAll());
  }

  async stats(): Promise<BoxStats> {
    return this.onHost('The sandbox cannot be measured', () => this.host.stats());
  }

  async pause(): Promise<void> {
    await this.onHost('The sandbox cannot be paused', () => this.host.pause());
    this.paused = true;
  }

  async resume(): Promise<void> {
    await this.onHost('The sandbox cannot be resumed', () => this.host.resume());
    this.paused = false;
  }

  stop(): Promise<void> {
    return this.end('stopped');
  }

  async destroy(): Promise<void> {
    await this.stop();
    await this.host.removeDisk();
  }

  onExit(listener: (why: ExitReason) => void): void {
    if (this.ended) listener(this.ended);
    else this.listeners.push(listener);
  }

  private start(spec: AgentExecSpec): Promise<AgentProcess> {
    return this.ask(() => this.client.exec(spec));
  }

  /** A call to the agent. One that stays unanswered is followed by a last question; without an answer to that the box is lost. */
  private async ask<T>(call: () => Promise<T>): Promise<T> {
    this.mustRun();
    if (this.paused) throw new DriverError('unavailable', 'The sandbox is paused');
    try {
      return await call();
    } catch (error) {
      this.doubt(error);
      throw error;
    }
  }

  private doubt(error: unknown): void {
    if (error instanceof DriverError && error.kind === 'timed-out') this.client.health().catch((cause: Error) => this.violated(cause));
  }

  private async onHost<T>(message: string, act: () => Promise<T>): Promise<T> {
    this.mustRun();
    try {
      return await act();
    } catch (error) {
      throw new DriverError(this.ending ? 'unavailable' : 'failed', message, error);
    }
  }

  private mustRun(): void {
    if (this.ending) throw new DriverError('unavailable', 'The sandbox is not running');
  }

  private violated(error: Error): void {
    if (this.ending || !this.begun) return;
    this.options.log.warn({ ...this.ref, err: error }, 'sandbox agent is lost, ending the sandbox');
    void this.end('lost').catch(() => undefined); // logged there
  }

  /** The agent is gone, so pid 1 is gone or about to be. From now on nobody may use it, whatever it takes to find out why. */
  private async vanished(): Promise<void> {
    this.ending ??= this.whyItVanished().then(why => this.finish(why));
    await this.ending.catch(() => undefined); // logged there
  }

  private async whyItVanished(): Promise<ExitReason> {
    const oomKills = await this.host.oomKills().catch(() => this.oomKillsSeen); // somebody removed it
    return oomKills > this.oomKillsSeen ? 'oom' : 'crashed';
  }

  private end(why: ExitReason): Promise<void> {
    this.ending ??= this.finish(why);
    return this.ending;
  }

  private async finish(why: ExitReason): Promise<void> {
    this.stopWatching();
    try {
      await this.host.tearDown();
    } catch (error) {
      this.options.log.error({ ...this.ref, err: error }, 'sandbox could not be cleared away; reconciliation will try again');
      throw new DriverError('failed', 'The sandbox could not be stopped', error);
    } finally {
      this.agent.close();
      this.ended = why;
      for (const listener of this.listeners.splice(0)) listener(why);
    }
  }
}

/** More than any kernel takes: it is the kernel that says a path is too long, and so that nothing is there. */
const PATH_BYTES_MAX = 8_192;

/** @throws {DriverError} `failed` for what cannot be a path */
function insidePath(path: string): string {
  if (path.length === 0 || path.includes('\0') || Buffer.byteLength(path) > PATH_BYTES_MAX) throw new DriverError('failed', 'Not a path');
  return posix.resolve(HOME, path);
}

async function collect(stream: Readable, share: HeldShare): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    share.add(chunk.length);
  }
  return Buffer.concat(chunks);
}
