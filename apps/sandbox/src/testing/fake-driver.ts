import { DriverError } from '../drivers/driver-error.js';
import type { BoxRef, ExecOptions, ExecResult, ExitReason, ProbeReport, ReconcileReport, SandboxDriver, SandboxHandle, SandboxSpec } from '../drivers/sandbox.driver.js';
import { FakeFiles } from './fake-files.js';

const DONE: ExecResult = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: 0, signal: null, timedOut: false, truncated: false };
const notFaked = (): never => {
  throw new Error('the fake driver has no such thing');
};

/** A node's boxes and disks in memory, for tests of the rules around them: nothing runs in these boxes. */
export class FakeDriver implements SandboxDriver {
  readonly name = 'local';
  readonly boxes = new Map<string, FakeBox>();
  readonly disks = new Set<string>();
  /** Every start that was asked for. */
  readonly starts: SandboxSpec[] = [];
  problems: string[] = [];
  warnings: string[] = [];
  /** What a start does before its box is there; it may throw, or wait. */
  onStart: (spec: SandboxSpec, signal: AbortSignal) => Promise<void> = async () => undefined;
  /** What commands do. */
  onExec: (options: ExecOptions, box: FakeBox) => Promise<Partial<ExecResult>> = async () => ({});
  /** What a stop or a destruction does first. */
  onEnd: (box: FakeBox) => Promise<void> = async () => undefined;

  async probe(): Promise<ProbeReport> {
    return { ok: this.problems.length === 0, isolation: 'namespace', features: new Set(), problems: this.problems, warnings: this.warnings };
  }

  async create(spec: SandboxSpec, signal: AbortSignal = new AbortController().signal): Promise<SandboxHandle> {
    this.starts.push(spec);
    this.disks.add(spec.sandboxId);
    await this.onStart(spec, signal);
    signal.throwIfAborted();
    this.boxes.get(spec.sandboxId)?.end('stopped');
    return this.runs(spec);
  }

  /** A box without anybody having asked this process for it. */
  runs({ sandboxId, generation }: Pick<SandboxSpec, 'sandboxId' | 'generation'>): FakeBox {
    const box = new FakeBox(this, { sandboxId, generation, slot: `slot${this.starts.length}` });
    this.disks.add(sandboxId);
    this.boxes.set(sandboxId, box);
    return box;
  }

  async attach({ sandboxId, generation }: BoxRef): Promise<SandboxHandle | null> {
    const box = this.boxes.get(sandboxId);
    return box?.ref.generation === generation ? box : null;
  }

  async *list(): AsyncIterable<BoxRef & { state: 'running' | 'dead' }> {
    for (const { ref } of [...this.boxes.values()]) yield { ...ref, state: 'running' };
  }

  async reconcile(): Promise<ReconcileReport> {
    return { adopted: [...this.boxes.values()].map(({ ref }) => ref), swept: [] };
  }

  async *idleDisks(): AsyncIterable<string> {
    for (const sandboxId of [...this.disks]) if (!this.boxes.has(sandboxId)) yield sandboxId;
  }

  async removeDisk(sandboxId: string): Promise<void> {
    if (this.boxes.has(sandboxId)) throw new DriverError('failed', 'The sandbox is running');
    this.disks.delete(sandboxId);
  }

  async close(): Promise<void> {
    this.boxes.clear();
  }
}

export class FakeBox implements SandboxHandle {
  readonly files = new FakeFiles();
  readonly commands: ExecOptions[] = [];
  private readonly listeners: ((why: ExitReason) => void)[] = [];
  private ended: ExitReason | undefined;
  isRunning = true;

  constructor(
    private readonly driver: FakeDriver,
    readonly ref: BoxRef,
  ) {}

  get written(): Map<string, string> {
    return this.files.texts;
  }

  get directories(): string[] {
    return this.files.asked;
  }

  async exec(options: ExecOptions): Promise<ExecResult> {
    if (!this.isRunning) throw new DriverError('unavailable', 'The sandbox went away');
    this.commands.push(options);
    return { ...DONE, ...(await this.driver.onExec(options, this)) };
  }

  async stop(): Promise<void> {
    await this.driver.onEnd(this);
    this.end('stopped');
  }

  async destroy(): Promise<void> {
    await this.driver.onEnd(this);
    this.end('stopped');
    this.driver.disks.delete(this.ref.sandboxId);
  }

  /** Ends as if by itself. */
  end(why: ExitReason): void {
    if (this.ended !== undefined) return;
    this.isRunning = false;
    this.ended = why;
    if (this.driver.boxes.get(this.ref.sandboxId) === this) this.driver.boxes.delete(this.ref.sandboxId);
    for (const listener of this.listeners) listener(why);
  }

  onExit(listener: (why: ExitReason) => void): void {
    if (this.ended === undefined) this.listeners.push(listener);
    else listener(this.ended);
  }

  spawn = notFaked;
  attach = notFaked;
  processes = notFaked;
  killAll = notFaked;
  stats = notFaked;
  pause = notFaked;
  resume = notFaked;
}
