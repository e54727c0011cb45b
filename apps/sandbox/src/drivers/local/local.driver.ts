import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { DriverError } from '../driver-error.js';
import type { BoxRef, ProbeReport, ReconcileReport, SandboxDriver, SandboxHandle, SandboxSpec } from '../sandbox.driver.js';
import { prepareAgentRuntime } from './agent-runtime.js';
import { AgentSocket } from './agent-socket.js';
import { LocalBox } from './box.js';
import { loadMeta, makeBoxDirectories, saveMeta } from './box-files.js';
import { LIMITS_MIN, makeBundle } from './bundle.js';
import { Cgroups, cgroupVersion } from './cgroups.js';
import { COMMAND_UID, Disks } from './disks.js';
import { bootId, identify, isAlive, killAndWait, type ProcessIdentity } from './host-process.js';
import { Layout, newSlot, NODE_ID, SANDBOX_ID, type BoxMeta } from './layout.js';
import { NodeLock } from './node-lock.js';
import type { DriverLogger, LocalDriverOptions, ResolvedOptions } from './options.js';
import { probeHost } from './probe.js';
import { OciRuntime, READY_FD } from './runtime.js';
import { seccompProfile } from './seccomp-profile.js';
import { StartGate } from './start-gate.js';
import { killOrphanedStarts, knownSlots, sweepSlot, type SweepContext } from './sweep.js';
import { Templates } from './templates.js';

const KILL_TIMEOUT_MS = 5_000;
const DEFAULTS = {
  nodePath: process.execPath,
  uidBase: 1_073_741_824,
  maxSandboxes: 100,
  maxStartsInFlight: 2 * availableParallelism(),
  startQueueTimeoutMs: 20_000,
  startTimeoutMs: 15_000,
  agentTimeoutMs: 10_000,
};

/**
 * Sandboxes as containers of an OCI runtime on this machine, with an agent inside each. Containers are detached: they
 * outlive this process, and the next driver of the node adopts them.
 */
export class LocalDriver implements SandboxDriver {
  readonly name = 'local';
  private readonly boxes = new Map<string, LocalBox>();
  private readonly creating = new Map<string, { generation: number; box: Promise<LocalBox> }>();
  /** Slots of this process; whatever else is found belongs to nobody. */
  private readonly ownSlots = new Set<string>();
  private readonly gate: StartGate;
  private readonly seccomp = seccompProfile();
  private readonly sweeping: SweepContext;
  /** Settles with the directory the agent runs from. */
  private readonly prepared: Promise<string>;
  private startsAreOurs = false;

  private constructor(
    private readonly options: ResolvedOptions,
    private readonly log: DriverLogger,
    private readonly layout: Layout,
    private readonly lock: NodeLock,
    private readonly disks: Disks,
    private readonly templates: Templates,
    private readonly cgroups: Cgroups,
    private readonly runtime: OciRuntime,
  ) {
    this.prepared = this.prepare();
    this.prepared.catch(() => undefined); // told to whoever needs it; `probe` says what is missing
    this.gate = new StartGate(options.maxStartsInFlight, options.startQueueTimeoutMs);
    this.sweeping = { nodeId: options.nodeId, layout, cgroups, runtime };
  }

  /**
   * Takes the node. Call `reconcile` and `probe` before the first `create`.
   * @throws {DriverError} `unavailable` when another process holds the node
   */
  static async open(given: LocalDriverOptions, log: DriverLogger): Promise<LocalDriver> {
    const options = { ...DEFAULTS, ...given };
    if (!NODE_ID.test(options.nodeId)) throw new DriverError('failed', 'The node id may hold letters, digits, "-", "_" and "."');
    const lock = await NodeLock.acquire(options.nodeId).catch((error: unknown) => {
      throw new DriverError('unavailable', `Another process drives node "${options.nodeId}"`, error);
    });
    try {
      for (const directory of [options.runDir, options.dataDir]) await mkdir(directory, { recursive: true, mode: 0o711 });
      const layout = new Layout(await realpath(options.runDir), await realpath(options.dataDir));
      for (const directory of [layout.boxes, layout.runtimeRoot, layout.templates, layout.agentVersions]) await mkdir(directory, { recursive: true, mode: 0o711 });
      const disks = new Disks(layout, options.uidBase);
      const templates = new Templates(layout.templates);
      const runtime = new OciRuntime(options.runtimePath, layout.runtimeRoot, options.nodeId);
      return new LocalDriver(options, log, layout, lock, disks, templates, new Cgroups(options.nodeId), runtime);
    } catch (error) {
      await lock.release();
      throw new DriverError('failed', 'The directories of the sandbox driver could not be made', error);
    }
  }

  async probe(): Promise<ProbeReport> {
    return probeHost(this.options, this.disks.quota, spec => this.create(spec));
  }

  async create(spec: SandboxSpec, signal: AbortSignal = new AbortController().signal): Promise<SandboxHandle> {
    checkSpec(spec);
    const pending = this.creating.get(spec.sandboxId);
    if (pending?.generation === spec.generation) return pending.box;
    if (pending) await pending.box.catch(() => undefined); // its own caller is told
    const box = this.boxes.get(spec.sandboxId);
    if (box?.ref.generation === spec.generation) return box;
    if (box && box.ref.generation > spec.generation) throw new DriverError('failed', 'A newer generation of the sandbox is running');
    if (this.creating.has(spec.sandboxId)) return this.create(spec, signal);

    if (!box && new Set([...this.boxes.keys(), ...this.creating.keys()]).size >= this.options.maxSandboxes) throw new DriverError('no-capacity', 'This node is full');
    const created = this.replace(box, spec, signal).finally(() => this.creating.delete(spec.sandboxId));
    this.creating.set(spec.sandboxId, { generation: spec.generation, box: created });
    return created;
  }

  async attach({ sandboxId, generation, slot }: BoxRef): Promise<SandboxHandle | null> {
    const box = this.boxes.get(sandboxId);
    return box?.ref.slot === slot && box.ref.generation === generation ? box : null;
  }

  async *list(): AsyncIterable<BoxRef & { state: 'running' | 'dead' }> {
    for (const { ref } of this.boxes.values()) yield { ...ref, state: 'running' };
    for (const slot of await knownSlots(this.sweeping)) {
      const meta = this.ownSlots.has(slot) ? null : await loadMeta(this.layout.box(slot));
      if (meta) yield { sandboxId: meta.sandboxId, generation: meta.generation, slot, state: 'dead' };
    }
  }

  async reconcile(): Promise<ReconcileReport> {
    if (!this.startsAreOurs) await killOrphanedStarts(this.sweeping);
    this.startsAreOurs = true;
    const strangers = [...(await knownSlots(this.sweeping))].filter(slot => !this.ownSlots.has(slot));
    const report: ReconcileReport = { adopted: [], swept: [] };
    await Promise.all(
      strangers.map(async slot => {
        const box = await this.adopt(slot).catch(() => null); // whatever it was, it is not alive and well
        if (box) return void report.adopted.push(box.ref);
        await sweepSlot(this.sweeping, slot);
        report.swept.push(slot);
      }),
    );
    if (strangers.length > 0) this.log.info({ adopted: report.adopted.length, swept: report.swept.length }, 'sandboxes reconciled');
    return report;
  }

  async removeDisk(sandboxId: string): Promise<void> {
    await this.prepared;
    if (!SANDBOX_ID.test(sandboxId)) throw new DriverError('failed', 'Not a sandbox id');
    if (this.boxes.has(sandboxId) || this.creating.has(sandboxId)) throw new DriverError('failed', 'The sandbox is running');
    await this.disks.remove(sandboxId);
  }

  async close(): Promise<void> {
    for (const { box } of this.creating.values()) await box.catch(() => undefined); // its own caller is told
    for (const box of this.boxes.values()) box.release();
    this.boxes.clear();
    await this.cgroups.removeEmptyTree();
    await this.lock.release();
  }

  private async prepare(): Promise<string> {
    try {
      const [agentRuntimeDir] = await Promise.all([prepareAgentRuntime(this.layout.agentVersions, this.options), this.disks.open(), this.templates.prepare()]);
      return agentRuntimeDir;
    } catch (error) {
      throw new DriverError('unavailable', 'The sandbox runtime of this node is incomplete', error);
    }
  }

  private async replace(older: LocalBox | undefined, spec: SandboxSpec, signal: AbortSignal): Promise<LocalBox> {
    await older?.stop();
    return this.gate.run(() => this.start(spec, signal), signal);
  }

  private async start(spec: SandboxSpec, signal: AbortSignal): Promise<LocalBox> {
    const slot = newSlot();
    this.ownSlots.add(slot);
    const deadline = AbortSignal.timeout(this.options.startTimeoutMs);
    try {
      return await this.bringUp(spec, slot, AbortSignal.any([signal, deadline]));
    } catch (error) {
      await this.forget(slot).catch((err: unknown) => this.log.error({ slot, err }, 'a failed start could not be cleared away'));
      signal.throwIfAborted();
      if (error instanceof DriverError) throw error;
      throw deadline.aborted ? new DriverError('timed-out', 'The sandbox did not start in time', error) : new DriverError('failed', 'The sandbox did not start', error);
    }
  }

  private async bringUp(spec: SandboxSpec, slot: string, signal: AbortSignal): Promise<LocalBox> {
    const { sandboxId, generation, template, limits } = spec;
    const agentRuntimeDir = await this.prepared;
    const paths = this.layout.box(slot);
    const disk = await this.disks.acquire(sandboxId, limits.diskBytes);
    const meta: BoxMeta = { sandboxId, slot, generation, template, limits, nodeId: this.options.nodeId, uidBase: disk.uidBase, bootId };
    await makeBoxDirectories(paths, disk.uidBase);
    await saveMeta(paths, meta);
    const bundle = makeBundle({
      template: this.templates.find(template),
      seccomp: this.seccomp,
      limits,
      uidBase: disk.uidBase,
      cgroupsPath: this.cgroups.pathOf(slot),
      agentRuntimeDir,
      homeDir: disk.home ?? `${paths.disk}/home`,
      agentDir: paths.agent,
      egressDir: paths.egress,
      readyFd: READY_FD,
    });
    await writeFile(paths.config, JSON.stringify(bundle));
    await this.runtime.start({ slot, paths, image: disk.image, homeOwner: disk.uidBase + COMMAND_UID }, signal);

    const init = await identify(Number(await readFile(paths.pid, 'latin1')));
    if (!init) throw new Error('the container ended right after its start');
    await saveMeta(paths, { ...meta, ...init });
    if (cgroupVersion === 2) await this.cgroups.delegate(slot, disk.uidBase);
    const box = this.makeBox(meta, init);
    await box.begin({ env: spec.env, ...(cgroupVersion === 2 && { delegatedCgroup: { commandMemoryBytes: limits.memoryBytes } }) });
    signal.throwIfAborted();
    return this.register(box);
  }

  /** null unless it is a container of this boot that answers. */
  private async adopt(slot: string): Promise<LocalBox | null> {
    const meta = await loadMeta(this.layout.box(slot));
    if (!meta?.pid || !meta.startTicks || meta.bootId !== bootId || this.boxes.has(meta.sandboxId)) return null;
    const init = { pid: meta.pid, startTicks: meta.startTicks };
    if (!(await isAlive(init))) return null;
    const box = this.makeBox(meta, init);
    try {
      await box.begin();
    } catch (error) {
      box.release();
      throw error;
    }
    this.ownSlots.add(slot);
    return this.register(box);
  }

  private register(box: LocalBox): LocalBox {
    this.boxes.set(box.ref.sandboxId, box);
    box.onExit(why => {
      if (this.boxes.get(box.ref.sandboxId) === box) this.boxes.delete(box.ref.sandboxId);
      this.log.info({ ...box.ref, why }, 'sandbox ended');
    });
    return box;
  }

  private makeBox({ sandboxId, generation, slot }: BoxMeta, init: ProcessIdentity): LocalBox {
    const socket = new AgentSocket(this.layout.box(slot).agentSocket);
    return new LocalBox({ sandboxId, generation, slot }, socket, {
      runtime: this.runtime,
      cgroups: this.cgroups,
      log: this.log,
      agentTimeoutMs: this.options.agentTimeoutMs,
      tearDown: () => this.tearDown(slot, init),
      removeDisk: () => this.disks.remove(sandboxId),
    });
  }

  /** pid 1 takes its whole namespace with it; after that the runtime has nothing left to poll for. */
  private async tearDown(slot: string, init: ProcessIdentity): Promise<void> {
    await this.cgroups.thaw(slot).catch(() => undefined); // gone already
    await killAndWait(init, KILL_TIMEOUT_MS);
    await this.runtime.delete(slot);
    await this.forget(slot);
  }

  private async forget(slot: string): Promise<void> {
    await sweepSlot(this.sweeping, slot);
    this.ownSlots.delete(slot);
  }
}

function checkSpec({ sandboxId, generation, limits }: SandboxSpec): void {
  if (!SANDBOX_ID.test(sandboxId)) throw new DriverError('failed', 'Not a sandbox id');
  if (!Number.isSafeInteger(generation) || generation < 0) throw new DriverError('failed', 'Not a generation');
  for (const [name, least] of Object.entries(LIMITS_MIN)) {
    const value = limits[name as keyof typeof limits];
    if (!Number.isSafeInteger(value) || value < least) throw new DriverError('failed', `${name} must be a whole number of at least ${least}`);
  }
}
