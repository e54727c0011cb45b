import { chmod, chown, mkdir, readdir, rm } from 'node:fs/promises';
import { AgentBox, type BoxHost } from '../agent-box.js';
import type { AgentConfiguration } from '../agent-client.js';
import { AgentSocket } from '../agent-socket.js';
import { DriverError } from '../driver-error.js';
import type { DriverLogger } from '../driver-logger.js';
import { type BoxPaths, type Layout, newSlot, SANDBOX_ID, SLOT } from '../local/layout.js';
import type { BoxRef, SandboxSpec } from '../sandbox.driver.js';
import { containerBody } from './container.js';
import { engineSeccomp } from './engine-seccomp.js';
import type { ContainerEvents } from './container-events.js';
import { type ContainerSummary, type EngineApi, EngineError } from './engine-api.js';
import type { Homes } from '../homes.js';
import { agentReady } from './ready-output.js';

const LABELS = { node: 'gatehouse.node', sandbox: 'gatehouse.sandbox', generation: 'gatehouse.generation', slot: 'gatehouse.slot' };
/** From the end of the agent to the end of its container, and to the engine's telling it. */
const SETTLE_MS = 250;
const END_TOLD_MS = 2_000;

/** What is the same for all containers of a node. */
export interface NodeParts {
  agentRuntimeDir: string;
  files: Record<string, string>;
  /** The host id that root has inside: 0 where the engine maps none. */
  uidBase: number;
}

export interface StarterParts {
  nodeId: string;
  runtime: string;
  engine: EngineApi;
  events: ContainerEvents;
  layout: Layout;
  homes: Homes;
  log: DriverLogger;
  startTimeoutMs: number;
  agentTimeoutMs: number;
  prepared: Promise<NodeParts>;
}

/** A container of this node, by its labels. */
export interface KnownContainer {
  id: string;
  running: boolean;
  /** null when its labels are not ours to read. */
  ref: BoxRef | null;
}

/** Brings containers up, takes over those a former service left, and clears away what is left of any. */
export class ContainerStarter {
  /** Slots of this process; whatever else is found belongs to nobody. */
  readonly ownSlots = new Set<string>();
  private readonly seccomp = engineSeccomp();

  constructor(private readonly parts: StarterParts) {}

  /** Either a box that answers or nothing at all. The engine's own calls are never broken off: nobody could tell what became of them. */
  async start(spec: SandboxSpec, signal: AbortSignal): Promise<AgentBox> {
    const { layout, log, startTimeoutMs } = this.parts;
    const deadline = AbortSignal.timeout(startTimeoutMs);
    const slot = newSlot();
    const paths = layout.box(slot);
    this.ownSlots.add(slot);
    try {
      return await this.bringUp(spec, slot, paths, AbortSignal.any([signal, deadline]));
    } catch (error) {
      await this.clear(this.nameOf(slot), slot).catch((err: unknown) => log.error({ slot, err }, 'a failed start could not be cleared away; reconciliation will try again'));
      signal.throwIfAborted();
      if (error instanceof DriverError) throw error;
      if (error instanceof EngineError && error.status === 404 && !(await this.hasImage(spec.template))) throw new DriverError('failed', `The Docker Engine has no image "${spec.template.slice(0, 200)}"`, error);
      throw deadline.aborted ? new DriverError('timed-out', 'The sandbox did not start in time', error) : new DriverError('failed', 'The sandbox did not start', error);
    }
  }

  /** null unless the container runs and its agent answers. */
  async adopt({ id, running, ref }: KnownContainer): Promise<AgentBox | null> {
    if (!running || !ref) return null;
    const box = await this.begin(ref, id);
    this.ownSlots.add(ref.slot);
    return box;
  }

  /** Removes a container and every trace of it but the home. @param container its id or name */
  async clear(container: string, slot: string | undefined): Promise<void> {
    const { engine, events, layout } = this.parts;
    try {
      await engine.remove(container);
      if (slot !== undefined) await rm(layout.box(slot).root, { recursive: true, force: true });
    } finally {
      events.forget(container);
      if (slot !== undefined) this.ownSlots.delete(slot);
    }
  }

  /** Containers of this node that this process did not make or adopt; of one sandbox, or of all. */
  async strangers(sandboxId?: string): Promise<KnownContainer[]> {
    const labels = [`${LABELS.node}=${this.parts.nodeId}`, ...(sandboxId === undefined ? [] : [`${LABELS.sandbox}=${sandboxId}`])];
    const containers = await this.parts.engine.list(labels);
    return containers.map(known).filter(({ ref }) => !ref || !this.ownSlots.has(ref.slot));
  }

  /** Directories of boxes that no container stands on. */
  async removeEmptyBoxes(): Promise<string[]> {
    const { layout, engine, nodeId } = this.parts;
    const slots = (await readdir(layout.boxes)).filter(name => SLOT.test(name) && !this.ownSlots.has(name));
    const used = new Set((await engine.list([`${LABELS.node}=${nodeId}`])).map(known).map(({ ref }) => ref?.slot));
    const empty = slots.filter(slot => !used.has(slot) && !this.ownSlots.has(slot));
    for (const slot of empty) await rm(layout.box(slot).root, { recursive: true, force: true });
    return empty;
  }

  private async bringUp({ sandboxId, generation, template, limits, env }: SandboxSpec, slot: string, paths: BoxPaths, signal: AbortSignal): Promise<AgentBox> {
    const { engine, events, homes, nodeId, runtime, prepared } = this.parts;
    const { agentRuntimeDir, files, uidBase } = await prepared;
    await this.mustBeLimited(template);
    await makeDirectories(paths, uidBase);
    const homeDir = await homes.acquire(sandboxId, uidBase);
    signal.throwIfAborted();
    const body = containerBody({
      image: template,
      runtime,
      labels: { [LABELS.node]: nodeId, [LABELS.sandbox]: sandboxId, [LABELS.generation]: String(generation), [LABELS.slot]: slot },
      seccomp: this.seccomp,
      limits,
      remapped: uidBase > 0,
      agentRuntimeDir,
      homeDir,
      agentDir: paths.agent,
      egressDir: paths.egress,
      files,
    });
    const id = await engine.create(this.nameOf(slot), body);
    signal.throwIfAborted();
    const output = await engine.attach(id);
    const ready = agentReady(output, signal);
    ready.catch(() => undefined); // the failure of the start itself comes first
    await engine.start(id).catch((error: unknown) => {
      output.stream.destroy();
      throw error;
    });
    await ready;
    const box = await this.begin({ sandboxId, generation, slot }, id, { env });
    if (signal.aborted) {
      box.release();
      events.forget(id);
    }
    signal.throwIfAborted();
    return box;
  }

  /** Volumes of an image would be disks of the sandbox that nothing limits and nobody keeps. */
  private async mustBeLimited(image: string): Promise<void> {
    const { Config } = await this.parts.engine.image(image);
    if (Object.keys(Config?.Volumes ?? {}).length > 0) throw new DriverError('failed', 'The image declares volumes');
  }

  private hasImage(image: string): Promise<boolean> {
    return this.parts.engine.image(image).then(() => true, () => false);
  }

  private async begin(ref: BoxRef, id: string, configuration?: AgentConfiguration): Promise<AgentBox> {
    const { layout, log, events, agentTimeoutMs } = this.parts;
    events.watch(id);
    const box = new AgentBox(ref, new AgentSocket(layout.box(ref.slot).agentSocket), this.hostOf(ref, id), { log, agentTimeoutMs });
    try {
      await box.begin(configuration);
      return box;
    } catch (error) {
      box.release();
      events.forget(id);
      throw error;
    }
  }

  private hostOf({ sandboxId, slot }: BoxRef, id: string): BoxHost {
    const { engine, events, homes } = this.parts;
    let begun = false;
    return {
      // The engine tells of it a moment later. The first question is that of the beginning, when there is nothing to wait for; the
      // later ones come when something was killed, or everything.
      oomKills: async () => {
        if (begun && (await engine.endsWithin(id, SETTLE_MS))) await events.ended(id, END_TOLD_MS);
        begun = true;
        return events.oomKillsOf(id);
      },
      stats: async () => {
        const { memory_stats: memory, cpu_stats: cpu, pids_stats: pids } = await engine.stats(id);
        return { memoryBytes: memory.usage ?? 0, cpuUsec: Math.round(cpu.cpu_usage.total_usage / 1000), pids: pids.current ?? 0, oomKills: events.oomKillsOf(id) };
      },
      pause: () => engine.pause(id),
      resume: () => engine.unpause(id),
      tearDown: () => this.clear(id, slot),
      removeDisk: () => homes.remove(sandboxId),
    };
  }

  private nameOf(slot: string): string {
    return `gatehouse-${this.parts.nodeId}-${slot}`;
  }
}

function known({ Id, State, Labels }: ContainerSummary): KnownContainer {
  const [sandboxId = '', generation = '', slot = ''] = [Labels[LABELS.sandbox], Labels[LABELS.generation], Labels[LABELS.slot]];
  const readable = SANDBOX_ID.test(sandboxId) && SLOT.test(slot) && /^\d{1,15}$/.test(generation);
  return { id: Id, running: State === 'running', ref: readable ? { sandboxId, generation: Number(generation), slot } : null };
}

/** The agent's directory belongs to the sandbox's root, who may make a socket in it; nobody else may look. */
async function makeDirectories(paths: BoxPaths, uidBase: number): Promise<void> {
  await mkdir(paths.root, { mode: 0o711 });
  for (const directory of [paths.agent, paths.egress]) {
    await mkdir(directory);
    await chmod(directory, 0o711);
  }
  await chown(paths.agent, uidBase, uidBase);
}
