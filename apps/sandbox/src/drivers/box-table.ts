import type { AgentBox } from './agent-box.js';
import { DriverError } from './driver-error.js';
import type { DriverLogger } from './driver-logger.js';
import { LIMITS_MIN } from './local/bundle.js';
import { SANDBOX_ID } from './local/layout.js';
import type { BoxRef, SandboxSpec } from './sandbox.driver.js';

export interface BoxTableOptions {
  readonly sandboxesMax: number;
  readonly log: DriverLogger;
  /** Whenever a box has ended. */
  readonly onEnd?: () => void;
}

export interface StartOfBox {
  /** Throws when the sandbox may not start now. Not asked where a running one is replaced. */
  mayStart?(): void;
  /** Brings the box up; nothing of an earlier life of this process runs any more. */
  start(): Promise<AgentBox>;
}

/** The sandboxes of one driver that run or are about to, each in one life at a time. */
export class BoxTable {
  private readonly boxes = new Map<string, AgentBox>();
  private readonly starting = new Map<string, { generation: number; box: Promise<AgentBox> }>();

  constructor(private readonly options: BoxTableOptions) {}

  get occupied(): number {
    return new Set([...this.boxes.keys(), ...this.starting.keys()]).size;
  }

  /** It runs or is about to. */
  has(sandboxId: string): boolean {
    return this.boxes.has(sandboxId) || this.starting.has(sandboxId);
  }

  /** Idempotent by (sandboxId, generation); a newer generation replaces an older one. */
  async create(spec: SandboxSpec, signal: AbortSignal, how: StartOfBox): Promise<AgentBox> {
    checkSpec(spec);
    signal.throwIfAborted();
    const { sandboxId, generation } = spec;
    const starting = this.starting.get(sandboxId);
    if (starting?.generation === generation) return starting.box;
    if (starting) {
      await starting.box.catch(() => undefined); // its own caller is told
      return this.create(spec, signal, how);
    }
    const older = this.boxes.get(sandboxId);
    if (older?.ref.generation === generation) return older;
    if (older && older.ref.generation > generation) throw new DriverError('failed', 'A newer generation of the sandbox is running');
    if (!older) {
      how.mayStart?.();
      if (this.occupied >= this.options.sandboxesMax) throw new DriverError('no-capacity', 'This node is full');
    }
    const box = this.replace(older, how).finally(() => this.starting.delete(sandboxId));
    this.starting.set(sandboxId, { generation, box });
    return box;
  }

  add(box: AgentBox): AgentBox {
    this.boxes.set(box.ref.sandboxId, box);
    box.onExit(why => {
      if (this.boxes.get(box.ref.sandboxId) === box) this.boxes.delete(box.ref.sandboxId);
      this.options.log.info({ ...box.ref, why }, 'sandbox ended');
      this.options.onEnd?.();
    });
    return box;
  }

  find({ sandboxId, generation, slot }: BoxRef): AgentBox | null {
    const box = this.boxes.get(sandboxId);
    return box?.ref.slot === slot && box.ref.generation === generation ? box : null;
  }

  running(): BoxRef[] {
    return [...this.boxes.values()].map(({ ref }) => ref);
  }

  /** Resolves when nothing is starting any more. */
  async settled(): Promise<void> {
    for (const { box } of this.starting.values()) await box.catch(() => undefined); // its own caller is told
  }

  /** Lets go of all; they run on. */
  release(): void {
    for (const box of this.boxes.values()) box.release();
    this.boxes.clear();
  }

  private async replace(older: AgentBox | undefined, { start }: StartOfBox): Promise<AgentBox> {
    if (older) await older.stop();
    return this.add(await start());
  }
}

export function checkSandboxId(sandboxId: string): void {
  if (!SANDBOX_ID.test(sandboxId)) throw new DriverError('failed', 'Not a sandbox id');
}

function checkSpec({ sandboxId, generation, limits }: SandboxSpec): void {
  checkSandboxId(sandboxId);
  if (!Number.isSafeInteger(generation) || generation < 0) throw new DriverError('failed', 'Not a generation');
  for (const [name, least] of Object.entries(LIMITS_MIN)) {
    const value = limits[name as keyof typeof limits];
    if (!Number.isSafeInteger(value) || value < least) throw new DriverError('failed', `${name} must be a whole number of at least ${least}`);
  }
}
