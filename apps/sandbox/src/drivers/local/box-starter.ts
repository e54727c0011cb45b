import { readFile, writeFile } from 'node:fs/promises';
import { AgentBox } from '../agent-box.js';
import { AgentSocket } from '../agent-socket.js';
import { DriverError } from '../driver-error.js';
import type { DriverLogger } from '../driver-logger.js';
import type { SandboxSpec } from '../sandbox.driver.js';
import { type Berth, Berths } from './berths.js';
import { loadMeta, saveMeta } from './box-files.js';
import { makeBundle } from './bundle.js';
import type { Cgroups } from './cgroups.js';
import { cgroupVersion } from './cgroups.js';
import type { Disks } from './disks.js';
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
}

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
  async start(spec: SandboxSpec, signal: AbortSignal): Promise<AgentBox> {
    const deadline = AbortSignal.timeout(this.parts.startTimeoutMs);
    const end = AbortSignal.any([signal, deadline]);
    let berth: Berth | undefined;
    try {
      const agentRuntimeDir = await this.parts.prepared;
      berth = await this.berths.take(spec.sandboxId, spec.limits.diskBytes, end);
      return await this.bringUp(spec, berth, agentRuntimeDir, end);
    } catch (error) {
      await berth?.start.cancel();
      const slot = berth?.slot;
      if (slot !== undefined) await this.sweep(slot).catch((err: unknown) => this.parts.log.error({ slot, err }, 'a failed start could not be cleared away'));
      signal.throwIfAborted();
      if (error instanceof DriverError) throw error;
      throw deadline.aborted ? new DriverError('timed-out', 'The sandbox did not start in time', error) : new DriverError('failed', 'The sandbox did not start', error);
    }
  }

  /** null unless the slot holds a container of this boot that answers. */
  async adopt(slot: string): Promise<AgentBox | null> {
    const meta = await loadMeta(this.parts.layout.box(slot));
    if (!meta?.pid || !meta.startTicks || meta.bootId !== bootId) return null;
    const init = { pid: meta.pid, startTicks: meta.startTicks };
    if (!(await isAlive(init))) return null;
    const box = await this.begin(meta, init);
    this.ownSlots.add(slot);
    return box;
  }

  /** Ends whatever runs in a slot and removes every trace of it but the disk. A slot that resists is nobody's from then on. */
  async sweep(slot: string): Promise<void> {
    const meta = await loadMeta(this.parts.layout.box(slot)).catch(() => null); // damaged: only its sandbox stays unknown
    try {
      await sweepSlot(this.sweeping, slot);
      this.resisting.delete(slot);
    } catch (error) {
      if (meta) this.resisting.set(slot, meta.sandboxId);
      throw error;
    } finally {
      this.ownSlots.delete(slot);
    }
  }

  /** Whether something of an earlier life of the sandbox may still hold its disk. */
  isHeldUp(sandboxId: string): boolean {
    return [...this.resisting.values()].includes(sandboxId);
  }

  private async bringUp(spec: SandboxSpec, { slot, paths, disk, start }: Berth, agentRuntimeDir: string, signal: AbortSignal): Promise<AgentBox> {
    const { cgroups, nodeId } = this.parts;
    const { sandboxId, generation, template, limits } = spec;
    const meta: BoxMeta = { sandboxId, slot, generation, template, limits, nodeId, uidBase: disk.uidBase, bootId };
    await saveMeta(paths, meta);
    const bundle = makeBundle({
      template: this.parts.templates.find(template),
      seccomp: this.seccomp,
      limits,
      uidBase: disk.uidBase,
      cgroupsPath: cgroups.pathOf(slot),
      agentRuntimeDir,
      homeDir: disk.home ?? `${paths.disk}/home`,
      agentDir: paths.agent,
      egressDir: paths.egress,
      readyFd: READY_FD,
    });
    await writeFile(paths.config, JSON.stringify(bundle));
    const started = start.go(signal);
    this.berths.stock(limits.diskBytes); // there is nothing to do but wait
    await started;

    const init = await identify(Number(await readFile(paths.pid, 'latin1')));
    if (!init) throw new Error('the container ended right after its start');
    await saveMeta(paths, { ...meta, ...init });
    if (cgroupVersion === 2) await cgroups.delegate(slot, disk.uidBase);
    const box = await this.begin(meta, init, { env: spec.env, ...(cgroupVersion === 2 && { delegatedCgroup: { commandMemoryBytes: limits.memoryBytes } }) });
    if (signal.aborted) box.release();
    signal.throwIfAborted();
    return box;
  }

  private async begin({ sandboxId, generation, slot }: BoxMeta, init: ProcessIdentity, configuration?: Parameters<AgentBox['begin']>[0]): Promise<AgentBox> {
    const { layout, runtime, cgroups, log, agentTimeoutMs, disks } = this.parts;
    const socket = new AgentSocket(layout.box(slot).agentSocket);
    const host = {
      oomKills: () => cgroups.oomKills(slot),
      stats: () => cgroups.stats(slot),
      pause: () => runtime.pause(slot),
      resume: () => runtime.resume(slot),
      tearDown: () => this.tearDown(slot, init),
      removeDisk: () => disks.remove(sandboxId),
    };
    const box = new AgentBox({ sandboxId, generation, slot }, socket, host, { log, agentTimeoutMs });
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
