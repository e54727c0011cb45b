import { type GatehouseError, notFound, sandboxUnavailable } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { ExitReason, SandboxDriver, SandboxHandle } from '../drivers/sandbox.driver.js';
import type { Installation } from '../installation.js';
import { AFTER, INSTALLATION, LOGGER, SANDBOX_DRIVER } from '../tokens.js';
import { startFailure } from './driver-failure.js';
import { NodeSandboxesStore, type StartPlan } from './node-sandboxes.store.js';
import { type After, RunningBox } from './running-box.js';
import { sandboxLimits } from './sandbox-limits.js';

/** A box that has started. */
export interface Started {
  readonly handle: SandboxHandle;
  readonly timeoutMs: number;
}

/** What is happening to a sandbox right now. There is at most one such thing per sandbox. */
interface Change {
  readonly kind: 'create' | 'wake' | 'stop' | 'remove' | 'settle';
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

const WHY_LOST: Readonly<Record<Exclude<ExitReason, 'stopped'>, string>> = {
  oom: 'The sandbox ran out of memory',
  crashed: 'The sandbox ended unexpectedly',
  lost: 'The sandbox no longer answers',
};

/** The running boxes of this node, by sandbox row: started when needed, once at a time for each, and stopped when idle. */
@Injectable()
export class NodeBoxes {
  private readonly running = new Map<string, RunningBox>();
  private readonly changes = new Map<string, Change>();

  constructor(
    @Inject(SANDBOX_DRIVER) private readonly driver: SandboxDriver,
    private readonly sandboxes: NodeSandboxesStore,
    @Inject(INSTALLATION) private readonly installation: Installation,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(AFTER) private readonly after: After,
  ) {}

  /**
   * Runs `work` in the sandbox, which is started first where it does not run and does not count as idle meanwhile.
   * @throws GatehouseError `sandbox_error` 503 while it is created or when it cannot be started; `not_found` when it is gone.
   */
  async use<T>(id: string, work: (handle: SandboxHandle) => Promise<T>): Promise<T> {
    for (;;) {
      const box = this.running.get(id);
      if (box?.handle.isRunning === true) return box.use(work);
      if (box !== undefined) {
        await ended(box.handle);
        continue;
      }
      const change = this.changes.get(id);
      if (change?.kind === 'create') throw sandboxUnavailable('The sandbox is still being created');
      if (change?.kind === 'remove') throw notFound('Sandbox');
      await (change?.done ?? this.wake(id));
    }
  }

  /** Whoever asks for the sandbox while `provision` makes it is told to come back. It ends early when the sandbox is removed or `signal` aborts. */
  create(id: string, signal: AbortSignal, provision: (signal: AbortSignal) => Promise<Started>): Promise<void> {
    return this.begin('create', id, async abort => this.register(id, await provision(AbortSignal.any([signal, abort]))));
  }

  /** @throws GatehouseError `sandbox_error` 503 */
  async start(id: string, { generation, timeoutMs, size }: StartPlan, signal: AbortSignal): Promise<Started> {
    try {
      // Variables are given to each command instead: a box outlives a change of its agent's version.
      const handle = await this.driver.create({ sandboxId: id, generation, template: this.installation.template, limits: sandboxLimits(size, this.installation), env: {} }, signal);
      return { handle, timeoutMs };
    } catch (error) {
      throw startFailure(error);
    }
  }

  /**
   * Runs `work` while nothing else can happen to the sandbox; not at all when this process runs or is busy with it.
   * @param work gives the box to take over, or null
   */
  async settle(id: string, work: () => Promise<Started | null>): Promise<void> {
    if (this.running.has(id) || this.changes.has(id)) return;
    await this.begin('settle', id, async () => {
      const started = await work();
      if (started !== null) this.register(id, started);
    });
  }

  /** Frees box and disk of a sandbox whose row is gone. */
  async remove(id: string): Promise<void> {
    const change = this.changes.get(id);
    if (change?.kind === 'remove') return change.done;
    return this.begin('remove', id, async () => {
      change?.abort.abort(notFound('Sandbox'));
      await Promise.allSettled([change?.done]);
      const box = this.running.get(id);
      this.forget(id);
      await this.free(id, box?.handle);
    });
  }

  /** Frees a box that nobody can reach, and its disk. */
  async free(id: string, handle: SandboxHandle | undefined): Promise<void> {
    if (handle === undefined) await this.driver.removeDisk(id);
    else await handle.destroy();
  }

  /** Ends what is being started and, if asked to, what runs. */
  async close({ stop }: { readonly stop: boolean }): Promise<void> {
    const changes = [...this.changes.values()];
    for (const { kind, abort } of changes) if (kind === 'create' || kind === 'wake') abort.abort(sandboxUnavailable('The sandbox service is stopping'));
    await Promise.allSettled(changes.map(({ done }) => done));
    await Promise.allSettled([...this.running.keys()].map(id => (stop ? this.stop(id) : this.forget(id))));
  }

  private wake(id: string): Promise<void> {
    return this.begin('wake', id, async signal => {
      const generation = await this.sandboxes.wake(id);
      const plan = generation === null ? null : await this.sandboxes.startPlan(id);
      if (plan === null) throw await this.notWakeable(id);
      const life = { id, generation: plan.generation };
      let started: Started | undefined;
      try {
        started = await this.start(id, plan, signal);
        if (!(await this.sandboxes.apply('ready', life))) throw notFound('Sandbox');
        this.register(id, started);
      } catch (error) {
        await this.giveUp(life, started?.handle);
        throw error;
      }
    });
  }

  private async giveUp(life: { id: string; generation: number }, handle: SandboxHandle | undefined): Promise<void> {
    const outcomes = await Promise.allSettled([handle?.stop(), this.sandboxes.apply('fail', life, 'The sandbox could not be started')]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') this.logger.warn({ err: outcome.reason as unknown, sandbox: life.id }, 'a failed start was not cleared away');
  }

  private async notWakeable(id: string): Promise<GatehouseError> {
    return (await this.sandboxes.startPlan(id)) === null ? notFound('Sandbox') : sandboxUnavailable('The sandbox is still being created');
  }

  private stop(id: string): Promise<void> {
    const box = this.running.get(id);
    if (box === undefined || this.changes.has(id)) return Promise.resolve();
    return this.begin('stop', id, async () => {
      this.forget(id);
      // A box that resists is replaced by the next start, and found by the next reconciliation.
      await box.handle.stop().catch((err: unknown) => this.logger.warn({ err, sandbox: id }, 'a box did not stop'));
      await this.sandboxes.apply('stop', { id, generation: box.generation });
    });
  }

  private register(id: string, { handle, timeoutMs }: Started): void {
    const box = new RunningBox(handle, timeoutMs, () => void this.stop(id).catch((err: unknown) => this.logger.error({ err, sandbox: id }, 'an idle sandbox was not stopped')), this.after);
    this.running.set(id, box);
    handle.onExit(why => {
      if (this.running.get(id) !== box) return;
      this.forget(id);
      this.ended(id, box.generation, why).catch((err: unknown) => this.logger.error({ err, sandbox: id, why }, 'the end of a sandbox was not written down'));
    });
  }

  private async ended(id: string, generation: number, why: ExitReason): Promise<void> {
    if (why === 'stopped') await this.sandboxes.apply('stop', { id, generation });
    else await this.sandboxes.apply('lose', { id, generation }, WHY_LOST[why]);
  }

  private forget(id: string): void {
    this.running.get(id)?.end();
    this.running.delete(id);
  }

  private begin(kind: Change['kind'], id: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    const done = work(abort.signal).finally(() => {
      if (this.changes.get(id)?.abort === abort) this.changes.delete(id);
    });
    this.changes.set(id, { kind, abort, done });
    return done;
  }
}

const ended = (handle: SandboxHandle): Promise<unknown> => new Promise(resolve => handle.onExit(resolve));
