import { readFile, writeFile } from 'node:fs/promises';
import { AgentBox } from '../agent-box.js';
import type { AgentConfiguration } from '../agent-client.js';
import { AgentSocket } from '../agent-socket.js';
import { DriverError } from '../driver-error.js';
import type { DriverLogger } from '../driver-logger.js';
import type { SandboxSpec } from '../sandbox.driver.js';
import { type Berth, Berths } from './berths.js';
import { loadMeta, saveMeta } from './box-files.js';
import { changeableLimits, makeBundle } from './bundle.js';
import type { Cgroups } from './cgroups.js';
import { cgroupVersion } from './cgroups.js';
import type { Disk, Disks, NewDisk } from './disks.js';
import { bootId, identify, isAlive, killAndWait, type ProcessIdentity } from './host-process.js';
import type { BoxMeta, Layout } from './layout.js';
import { READY_FD, type OciRuntime } from './runtime.js';
import { seccompProfile } from './seccomp-profile.js';
import { sweepSlot, type SweepContext } from './sweep.js';
import type { Templates } from './templates.js';

const KILL_TIMEOUT_MS = 5_000;

export interface StarterParts {
  nodeId: string;
  layout: Layout;
  disks: Disks;
  templates: Templates;
  cgroups: Cgroups;
  runtime: OciRuntime;
  log: DriverLogger;
  startTimeoutMs: number;
  agentTimeoutMs: number;
  /** Settles with the directory the agent runs from, once the node is ready for starts. */
  prepared: Promise<string>;
  /** Whether a part of the next start is done while one waits for the runtime. */
  prepareAhead: boolean;
}

/** What makes one idle box as good as another. */
export type BoxShape = Pick<SandboxSpec, 'template' | 'limits'>;

/** A box that runs and is nobody's: no command ever ran in it. */
export interface IdleBox {
  box: AgentBox;
  slot: string;
  shape: BoxShape;
  disk: NewDisk;
  init: ProcessIdentity;
}

/** null: nobody's yet. */
type BoxSpec = Omit<SandboxSpec, 'sandboxId'> & { sandboxId: string | null };

/** Brings boxes up, takes over those a former service left, and clears away what is left of any. */
export class BoxStarter {
  /** Slots of this process; whatever else is found belongs to nobody. */
  readonly ownSlots = new Set<string>();
  /** Slots that could not be cleared away, and whose they are. */
  private readonly resisting = new Map<string, string>();
  private readonly seccomp = seccompProfile();
  private readonly sweeping: SweepContext;
  private readonly berths: Berths;

  constructor(private readonly parts: StarterParts) {
    this.sweeping = parts;
    this.berths = new Berths({ ...parts, claim: slot => void this.ownSlots.add(slot), sweep: slot => this.sweep(slot) });
  }

  /** Lets go of what was prepared for starts that will not come. */
  close(): Promise<void> {
    return this.berths.close();
  }

  /** Either a box that answers or nothing at all. */
  start(spec: SandboxSpec, signal: AbortSignal): Promise<AgentBox> {
    const { sandboxId, limits } = spec;
    return this.attempt(signal, end => this.berths.take(sandboxId, limits.diskBytes, end), async (berth, end) => (await this.bringUp(spec, berth, end)).box);
  }

  /** A box that is nobody's, for `claim`; its own listeners learn of its end until then. */
  startIdle(shape: BoxShape, signal: AbortSignal): Promise<IdleBox> {
    const make = () => this.berths.make(shape.limits.diskBytes);
    const spec: BoxSpec = { ...shape, sandboxId: null, generation: 0, env: {} };
    return this.attempt(signal, make, async (berth, end) => ({ ...(await this.bringUp(spec, berth, end)), slot: berth.slot, disk: berth.disk, shape }));
  }

  /**
   * An idle box becomes that of a sandbox without a disk. When that fails nothing is left of the box; the sandbox may have got an
   * empty disk.
   */
  async claim({ box, slot, shape, disk, init }: IdleBox, spec: SandboxSpec, signal: AbortSignal): Promise<AgentBox> {
    const { layout, disks, cgroups } = this.parts;
    const { sandboxId, generation, env, limits } = spec;
    const meta = this.metaOf(spec, slot, disk);
    box.rename({ sandboxId, generation, slot });
    try {
      await saveMeta(layout.box(slot), meta);
      await disks.adopt(disk, sandboxId);
      await cgroups.limit(slot, changeableLimits(shape.limits), changeableLimits(limits));
      const isConfigured = Object.keys(env).length === 0 && (cgroupVersion === 1 || limits.memoryBytes === shape.limits.memoryBytes);
      if (!isConfigured) await box.configure(configurationOf(spec));
      await saveMeta(layout.box(slot), { ...meta, ...init });
      signal.throwIfAborted();
      if (!box.isRunning) throw new Error('it ended');
      return box;
    } catch (error) {
      await box.stop().catch(() => undefined); // logged there
      throw error;
    }
  }

  /** null unless the slot holds a container of this boot that answers. */
  async adopt(slot: string): Promise<AgentBox | null> {
    const meta = await loadMeta(this.parts.layout.box(slot));
    if (!meta?.sandboxId || !meta.pid || !meta.startTicks || meta.bootId !== bootId) return null;
    const init = { pid: meta.pid, startTicks: meta.startTicks };
    if (!(await isAlive(init))) return null;
    const box = await this.begin(meta, slot, init);
    this.ownSlots.add(slot);
    return box;
  }

  /** Ends whatever runs in a slot and removes every trace of it but the disk of a sandbox. A slot that resists is nobody's from then on. */
  async sweep(slot: string): Promise<void> {
    const meta = await loadMeta(this.parts.layout.box(slot)).catch(() => null); // damaged: only its sandbox stays unknown
    try {
      await sweepSlot(this.sweeping, slot);
      this.resisting.delete(slot);
    } catch (error) {
      if (meta?.sandboxId) this.resisting.set(slot, meta.sandboxId);
      if (meta) this.parts.disks.withhold(slot, meta.uidBase);
      throw error;
    } finally {
      this.ownSlots.delete(slot);
    }
  }

  /** Whether something of an earlier life of the sandbox may still hold its disk. */
  isHeldUp(sandboxId: string): boolean {
    return [...this.resisting.values()].includes(sandboxId);
  }

  /** @throws when the start fails, is too late, or `signal` aborts; nothing is left of it then */
  private async attempt<B extends Berth, R>(signal: AbortSignal, take: (end: AbortSignal) => Promise<B>, bringUp: (berth: B, end: AbortSignal) => Promise<R>): Promise<R> {
    const { prepared, startTimeoutMs, log } = this.parts;
    const deadline = AbortSignal.timeout(startTimeoutMs);
    const end = AbortSignal.any([signal, deadline]);
    let berth: B | undefined;
    try {
      await prepared;
      berth = await take(end);
      return await bringUp(berth, end);
    } catch (error) {
      await berth?.start.cancel();
      const slot = berth?.slot;
      if (slot !== undefined) await this.sweep(slot).catch((err: unknown) => log.error({ slot, err }, 'a failed start could not be cleared away'));
      signal.throwIfAborted();
      if (error instanceof DriverError) throw error;
      throw deadline.aborted ? new DriverError('timed-out', 'The sandbox did not start in time', error) : new DriverError('failed', 'The sandbox did not start', error);
    }
  }

  private async bringUp(spec: BoxSpec, { slot, paths, disk, start }: Berth, signal: AbortSignal): Promise<{ box: AgentBox; init: ProcessIdentity }> {
    const { cgroups, prepareAhead } = this.parts;
    const meta = this.metaOf(spec, slot, disk);
    await saveMeta(paths, meta);
    const bundle = makeBundle({
      template: this.parts.templates.find(spec.template),
      seccomp: this.seccomp,
      limits: spec.limits,
      uidBase: disk.uidBase,
      cgroupsPath: cgroups.pathOf(slot),
      agentRuntimeDir: await this.parts.prepared,
      homeDir: disk.home ?? `${paths.disk}/home`,
      agentDir: paths.agent,
      egressDir: paths.egress,
      readyFd: READY_FD,
    });
    await writeFile(paths.config, JSON.stringify(bundle));
    const started = start.go(signal);
    if (prepareAhead) this.berths.stock(spec.limits.diskBytes); // there is nothing to do but wait
    await started;

    const init = await identify(Number(await readFile(paths.pid, 'latin1')));
    if (!init) throw new Error('the container ended right after its start');
    if (cgroupVersion === 2) await cgroups.delegate(slot, disk.uidBase);
    const box = await this.begin(spec, slot, init, configurationOf(spec));
    try {
      await saveMeta(paths, { ...meta, ...init });
      signal.throwIfAborted();
      return { box, init };
    } catch (error) {
      box.release();
      throw error;
    }
  }

  private metaOf({ sandboxId, generation, template, limits }: BoxSpec, slot: string, { uidBase }: Disk): BoxMeta {
    return { sandboxId, slot, generation, template, limits, nodeId: this.parts.nodeId, uidBase, bootId };
  }

  private async begin({ sandboxId, generation }: Pick<BoxSpec, 'sandboxId' | 'generation'>, slot: string, init: ProcessIdentity, configuration?: AgentConfiguration): Promise<AgentBox> {
    const { layout, runtime, cgroups, log, agentTimeoutMs, disks } = this.parts;
    const socket = new AgentSocket(layout.box(slot).agentSocket);
    const host = {
      oomKills: () => cgroups.oomKills(slot),
      stats: () => cgroups.stats(slot),
      pause: () => runtime.pause(slot),
      resume: () => runtime.resume(slot),
      tearDown: () => this.tearDown(slot, init),
      removeDisk: () => disks.remove(box.ref.sandboxId),
    };
    const box: AgentBox = new AgentBox({ sandboxId: sandboxId ?? 'nobody', generation, slot }, socket, host, { log, agentTimeoutMs });
    try {
      await box.begin(configuration);
      return box;
    } catch (error) {
      box.release();
      throw error;
    }
  }

  /** pid 1 takes its whole namespace with it; after that the runtime has nothing left to poll for. */
  private async tearDown(slot: string, init: ProcessIdentity): Promise<void> {
    await this.parts.cgroups.thaw(slot).catch(() => undefined); // gone already
    // The sweep decides: it kills what is left, and succeeds only without it.
    await killAndWait(init, KILL_TIMEOUT_MS).catch((err: unknown) => this.parts.log.warn({ slot, err }, 'pid 1 of a sandbox does not die'));
    await this.sweep(slot);
  }
}

function configurationOf({ env, limits }: Pick<SandboxSpec, 'env' | 'limits'>): AgentConfiguration {
  return { env, ...(cgroupVersion === 2 && { delegatedCgroup: { commandMemoryBytes: limits.memoryBytes } }) };
}
