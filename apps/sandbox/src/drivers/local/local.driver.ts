import { availableParallelism } from 'node:os';
import type { AgentBox } from '../agent-box.js';
import { BoxTable, checkSandboxId } from '../box-table.js';
import { DriverError } from '../driver-error.js';
import type { DriverLogger } from '../driver-logger.js';
import type { BoxRef, ProbeReport, ReconcileReport, SandboxDriver, SandboxHandle, SandboxSpec } from '../sandbox.driver.js';
import { takeNode } from '../take-node.js';
import { prepareAgentRuntime } from './agent-runtime.js';
import { loadMeta } from './box-files.js';
import { BoxStarter } from './box-starter.js';
import { Cgroups } from './cgroups.js';
import { Disks } from './disks.js';
import type { Layout } from './layout.js';
import type { NodeLock } from './node-lock.js';
import type { LocalDriverOptions, ResolvedOptions } from './options.js';
import { probeHost } from './probe.js';
import { Pool } from './pool.js';
import { OciRuntime } from './runtime.js';
import { StartGate } from './start-gate.js';
import { killOrphanedStarts, knownSlots, type SweepContext } from './sweep.js';
import { HOST_TEMPLATE, Templates } from './templates.js';

const DEFAULTS = {
  nodePath: process.execPath,
  uidBase: 1_073_741_824,
  template: HOST_TEMPLATE,
  allowHostTemplate: true,
  requireQuota: false,
  maxSandboxes: 100,
  maxStartsInFlight: 2 * availableParallelism(),
  startQueueTimeoutMs: 20_000,
  startTimeoutMs: 15_000,
  agentTimeoutMs: 10_000,
  pool: { size: 0, memoryBytes: 0 },
};

/**
 * Sandboxes as containers of an OCI runtime on this machine, with an agent inside each. Containers are detached: they
 * outlive this process, and the next driver of the node adopts them.
 */
export class LocalDriver implements SandboxDriver {
  readonly name = 'local';
  private readonly boxes: BoxTable;
  private readonly gate: StartGate;
  private readonly starter: BoxStarter;
  private readonly pool: Pool;
  private readonly sweeping: SweepContext;
  /** Before anything of ours starts: afterwards nobody could tell whose a start is. */
  private readonly orphansEnded: Promise<void>;
  /** Settles with the directory the agent runs from. */
  private readonly prepared: Promise<string>;

  private constructor(
    private readonly options: ResolvedOptions,
    private readonly log: DriverLogger,
    layout: Layout,
    private readonly lock: NodeLock,
    private readonly disks: Disks,
    private readonly templates: Templates,
  ) {
    const { nodeId, startTimeoutMs, agentTimeoutMs, runtimePath } = options;
    this.sweeping = { nodeId, layout, cgroups: new Cgroups(nodeId), disks, runtime: new OciRuntime(runtimePath, layout.runtimeRoot, nodeId) };
    this.orphansEnded = killOrphanedStarts(this.sweeping);
    this.prepared = this.prepare(layout);
    for (const early of [this.orphansEnded, this.prepared]) early.catch(() => undefined); // told to whoever needs it; `probe` says what is missing
    this.boxes = new BoxTable({ sandboxesMax: options.maxSandboxes, log, onEnd: () => this.pool.tend() }); // there is more room then
    this.gate = new StartGate(options.maxStartsInFlight, options.startQueueTimeoutMs);
    const pool = disks.quota ? options.pool : DEFAULTS.pool;
    this.starter = new BoxStarter({ ...this.sweeping, templates, log, startTimeoutMs, agentTimeoutMs, prepared: this.prepared, prepareAhead: pool.size === 0 });
    this.pool = new Pool({
      options: pool,
      gate: this.gate,
      log,
      start: (shape, signal) => this.starter.startIdle(shape, signal),
      room: () => options.maxSandboxes - this.boxes.occupied,
    });
  }

  /**
   * Takes the node. Call `reconcile` and `probe` before the first `create`.
   * @throws {DriverError} `unavailable` when another process holds the node, `failed` when its directories cannot be used
   */
  static async open(given: LocalDriverOptions, log: DriverLogger): Promise<LocalDriver> {
    const options = { ...DEFAULTS, ...given };
    return takeNode(options, ['boxes', 'runtimeRoot', 'templates', 'agentVersions'], async (layout, lock) => {
      const disks = new Disks(layout, options.uidBase);
      await disks.open();
      const templates = new Templates(layout.templates, given.templatesDir ?? layout.installedTemplates, options.allowHostTemplate);
      return new LocalDriver(options, log, layout, lock, disks, templates);
    });
  }

  async probe(): Promise<ProbeReport> {
    return probeHost(this.options, this.disks.quota, this.templates, spec => this.create(spec));
  }

  async create(spec: SandboxSpec, signal: AbortSignal = new AbortController().signal): Promise<SandboxHandle> {
    const created = this.boxes.create(spec, signal, { mayStart: () => this.mustBeCleared(spec.sandboxId), start: () => this.start(spec, signal) });
    this.pool.tend(); // one may have been taken, and there is less room for the others
    return created;
  }

  async attach(ref: BoxRef): Promise<SandboxHandle | null> {
    return this.boxes.find(ref);
  }

  async *list(): AsyncIterable<BoxRef & { state: 'running' | 'dead' }> {
    for (const ref of this.boxes.running()) yield { ...ref, state: 'running' };
    for (const slot of await this.strangers()) {
      const meta = await loadMeta(this.sweeping.layout.box(slot));
      if (meta?.sandboxId) yield { sandboxId: meta.sandboxId, generation: meta.generation, slot, state: 'dead' };
    }
  }

  async reconcile(): Promise<ReconcileReport> {
    await this.orphansEnded;
    const strangers = await this.strangers();
    const report: ReconcileReport = { adopted: [], swept: [] };
    await Promise.all(
      strangers.map(async slot => {
        const box = await this.starter.adopt(slot).catch((err: unknown) => this.log.warn({ slot, err }, 'a sandbox does not answer'));
        if (box) {
          report.adopted.push(this.boxes.add(box).ref);
        } else {
          await this.starter.sweep(slot).then(
            () => report.swept.push(slot),
            (err: unknown) => this.log.error({ slot, err }, 'a sandbox could not be cleared away; it will be tried again'),
          );
        }
      }),
    );
    if (strangers.length > 0) this.log.info({ adopted: report.adopted.length, swept: report.swept.length }, 'sandboxes reconciled');
    return report;
  }

  warmUp(): void {
    this.pool.fill();
  }

  async *idleDisks(): AsyncIterable<string> {
    for (const sandboxId of this.disks.owners) if (!this.boxes.has(sandboxId)) yield sandboxId;
  }

  async removeDisk(sandboxId: string): Promise<void> {
    checkSandboxId(sandboxId);
    if (this.boxes.has(sandboxId)) throw new DriverError('failed', 'The sandbox is running');
    this.mustBeCleared(sandboxId);
    await this.disks.remove(sandboxId);
  }

  async close(): Promise<void> {
    await this.prepared.catch(() => undefined); // a part was missing, which `probe` tells
    await this.boxes.settled();
    await this.pool.close();
    this.boxes.release();
    await this.starter.close();
    await this.sweeping.cgroups.removeEmptyTree();
    await this.lock.release();
  }

  /** Two containers must never share a home. */
  private mustBeCleared(sandboxId: string): void {
    if (this.starter.isHeldUp(sandboxId)) throw new DriverError('unavailable', 'An earlier start of the sandbox could not be cleared away yet');
  }

  private async prepare(layout: Layout): Promise<string> {
    try {
      await this.orphansEnded;
      await this.templates.prepare();
      return await prepareAgentRuntime(layout.agentVersions, this.options);
    } catch (error) {
      throw new DriverError('unavailable', 'The sandbox runtime of this node is incomplete', error);
    }
  }

  private async start(spec: SandboxSpec, signal: AbortSignal): Promise<AgentBox> {
    const isNew = !this.sweeping.disks.has(spec.sandboxId);
    const claimed = isNew ? await this.claim(spec, signal) : null;
    const box = claimed ?? (await this.gate.run(() => this.starter.start(spec, signal), signal));
    if (isNew) this.pool.note(spec);
    return box;
  }

  /** null when there is nothing to claim, or it did not work. */
  private async claim(spec: SandboxSpec, signal: AbortSignal): Promise<AgentBox | null> {
    const idle = await this.pool.take(spec, signal);
    if (!idle) return null;
    if (signal.aborted) await this.pool.giveBack(idle);
    signal.throwIfAborted();
    try {
      return await this.starter.claim(idle, spec, signal);
    } catch (err) {
      signal.throwIfAborted();
      this.log.warn({ sandboxId: spec.sandboxId, err }, 'a prepared sandbox could not be used; another one is started');
      this.mustBeCleared(spec.sandboxId);
      return null;
    }
  }

  private async strangers(): Promise<string[]> {
    return [...(await knownSlots(this.sweeping))].filter(slot => !this.starter.ownSlots.has(slot));
  }
}
