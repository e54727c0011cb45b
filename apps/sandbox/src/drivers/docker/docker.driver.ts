import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { AgentBox } from '../agent-box.js';
import { BoxTable, checkSandboxId } from '../box-table.js';
import { DriverError } from '../driver-error.js';
import type { DriverLogger } from '../driver-logger.js';
import { prepareAgentRuntime } from '../local/agent-runtime.js';
import type { Layout } from '../local/layout.js';
import type { NodeLock } from '../local/node-lock.js';
import { StartGate } from '../local/start-gate.js';
import { etcFiles } from '../local/template-layout.js';
import type { BoxRef, ProbeReport, ReconcileReport, SandboxDriver, SandboxHandle, SandboxSpec } from '../sandbox.driver.js';
import { takeNode } from '../take-node.js';
import { ContainerEvents } from './container-events.js';
import { ContainerStarter, type NodeParts } from './container-starter.js';
import { EngineApi } from './engine-api.js';
import { Homes } from '../homes.js';
import type { DockerDriverOptions, ResolvedOptions } from './options.js';
import { probeEngine, uidBaseOf } from './probe.js';

const DEFAULTS = {
  nodePath: process.execPath,
  requireQuota: false,
  requireUserNamespace: false,
  maxSandboxes: 100,
  maxStartsInFlight: 2 * availableParallelism(),
  startQueueTimeoutMs: 20_000,
  startTimeoutMs: 30_000,
  agentTimeoutMs: 10_000,
};

/**
 * Sandboxes as containers of the Docker Engine of this machine, with the same agent inside as the local driver's. Which they are,
 * labels of the engine say; so they outlive this process, and the next driver of the node adopts them.
 */
export class DockerDriver implements SandboxDriver {
  readonly name = 'docker';
  private readonly boxes: BoxTable;
  private readonly gate: StartGate;
  private readonly starter: ContainerStarter;
  private readonly events: ContainerEvents;
  private readonly homes: Homes;
  private readonly prepared: Promise<NodeParts>;

  private constructor(
    private readonly options: ResolvedOptions,
    private readonly log: DriverLogger,
    private readonly layout: Layout,
    private readonly lock: NodeLock,
    private readonly engine: EngineApi,
  ) {
    const { nodeId, runtime, startTimeoutMs, agentTimeoutMs } = options;
    this.events = new ContainerEvents(engine, [`gatehouse.node=${nodeId}`], log);
    this.homes = new Homes(layout.homes);
    this.prepared = this.prepare();
    this.prepared.catch(() => undefined); // told to whoever needs it; `probe` says what is missing
    this.boxes = new BoxTable({ sandboxesMax: options.maxSandboxes, log });
    this.gate = new StartGate(options.maxStartsInFlight, options.startQueueTimeoutMs);
    this.starter = new ContainerStarter({ nodeId, runtime, engine, events: this.events, layout, homes: this.homes, log, startTimeoutMs, agentTimeoutMs, prepared: this.prepared });
  }

  /**
   * Takes the node. Call `reconcile` and `probe` before the first `create`.
   * @throws {DriverError} `unavailable` when another process holds the node, `failed` when its directories cannot be used
   */
  static async open(given: DockerDriverOptions, log: DriverLogger): Promise<DockerDriver> {
    const options = { ...DEFAULTS, ...given };
    return takeNode(options, ['boxes', 'homes', 'agentVersions'], (layout, lock) => new DockerDriver(options, log, layout, lock, new EngineApi(options.socketPath)));
  }

  async probe(): Promise<ProbeReport> {
    return probeEngine(this.options, this.engine, spec => this.create(spec));
  }

  async create(spec: SandboxSpec, signal: AbortSignal = new AbortController().signal): Promise<SandboxHandle> {
    return this.boxes.create(spec, signal, { start: () => this.start(spec, signal) });
  }

  async attach(ref: BoxRef): Promise<SandboxHandle | null> {
    return this.boxes.find(ref);
  }

  async *list(): AsyncIterable<BoxRef & { state: 'running' | 'dead' }> {
    for (const ref of this.boxes.running()) yield { ...ref, state: 'running' };
    for (const { ref } of await this.onEngine(() => this.starter.strangers())) if (ref) yield { ...ref, state: 'dead' };
  }

  async reconcile(): Promise<ReconcileReport> {
    const report: ReconcileReport = { adopted: [], swept: [] };
    const strangers = await this.onEngine(() => this.starter.strangers()).catch((err: unknown) => this.log.error({ err }, 'the Docker Engine does not answer'));
    if (!strangers) return report; // `probe` says what is missing
    this.events.listen();
    await Promise.all(
      strangers.map(async container => {
        const box = await this.starter.adopt(container).catch((err: unknown) => this.log.warn({ ...container.ref, err }, 'a sandbox does not answer'));
        if (box) return void report.adopted.push(this.boxes.add(box).ref);
        await this.starter.clear(container.id, container.ref?.slot).then(
          () => report.swept.push(container.ref?.slot ?? container.id),
          (err: unknown) => this.log.error({ ...container.ref, err }, 'a sandbox could not be cleared away; it will be tried again'),
        );
      }),
    );
    report.swept.push(...(await this.starter.removeEmptyBoxes()).filter(slot => !report.swept.includes(slot)));
    if (strangers.length > 0) this.log.info({ adopted: report.adopted.length, swept: report.swept.length }, 'sandboxes reconciled');
    return report;
  }

  async *idleDisks(): AsyncIterable<string> {
    for (const sandboxId of await this.homes.owners()) if (!this.boxes.has(sandboxId)) yield sandboxId;
  }

  async removeDisk(sandboxId: string): Promise<void> {
    checkSandboxId(sandboxId);
    if (this.boxes.has(sandboxId)) throw new DriverError('failed', 'The sandbox is running');
    await this.clearStrangers(sandboxId);
    await this.homes.remove(sandboxId);
  }

  async close(): Promise<void> {
    await this.prepared.catch(() => undefined); // a part was missing, which `probe` tells
    await this.boxes.settled();
    this.boxes.release();
    await this.events.close();
    await this.lock.release();
  }

  private async prepare(): Promise<NodeParts> {
    try {
      // One after the other: whoever waits for this must not find any of it still at work.
      const agentRuntimeDir = await prepareAgentRuntime(this.layout.agentVersions, this.options);
      const files = await this.writeFiles();
      return { agentRuntimeDir, files, uidBase: uidBaseOf(await this.engine.info()) ?? 0 };
    } catch (error) {
      throw new DriverError('unavailable', 'The sandbox runtime of this node is incomplete', error);
    }
  }

  /** In a directory of their own content's name, because sandboxes stand on them. */
  private async writeFiles(): Promise<Record<string, string>> {
    const files = etcFiles('/bin/sh');
    const directory = join(this.layout.agentVersions, `etc-${createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 16)}`);
    if (!(await stat(directory).catch(() => null))) {
      const work = join(this.layout.agentVersions, `.${randomUUID()}`);
      await mkdir(work, { mode: 0o755 });
      for (const [name, text] of Object.entries(files)) await writeFile(join(work, name), text);
      await rename(work, directory).finally(() => rm(work, { recursive: true, force: true }));
    }
    return Object.fromEntries(Object.keys(files).map(name => [`/etc/${name}`, join(directory, name)]));
  }

  private async start(spec: SandboxSpec, signal: AbortSignal): Promise<AgentBox> {
    this.events.listen();
    await this.clearStrangers(spec.sandboxId);
    return this.gate.run(() => this.starter.start(spec, signal), signal);
  }

  /** Two containers must never share a home. */
  private async clearStrangers(sandboxId: string): Promise<void> {
    try {
      for (const { id, ref } of await this.starter.strangers(sandboxId)) await this.starter.clear(id, ref?.slot);
    } catch (error) {
      throw new DriverError('unavailable', 'An earlier start of the sandbox could not be cleared away yet', error);
    }
  }

  private async onEngine<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw new DriverError('unavailable', 'The Docker Engine does not answer', error);
    }
  }
}
