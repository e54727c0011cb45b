import { ConfigError, type Logger } from '@gatehouse/platform';
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { SandboxDriver } from './drivers/sandbox.driver.js';
import { NodeBoxes } from './sandboxes/node-boxes.js';
import { ReconcileNode } from './sandboxes/reconcile-node.js';
import { RemoveSandboxes } from './sandboxes/remove-sandboxes.js';
import { LOGGER, SANDBOX_DRIVER, STOP_ON_SHUTDOWN } from './tokens.js';

const RECONCILE_INTERVAL_MS = 300_000;
/** Removals are noted by other nodes too, when an agent is deleted there. */
const SWEEP_INTERVAL_MS = 15_000;

/** The life of this node: it takes up its work before the first request comes, and lays it down after the last. */
@Injectable()
export class SandboxNode implements OnModuleInit, OnApplicationShutdown {
  private readonly timers: NodeJS.Timeout[] = [];

  constructor(
    @Inject(SANDBOX_DRIVER) private readonly driver: SandboxDriver,
    private readonly boxes: NodeBoxes,
    private readonly reconciling: ReconcileNode,
    private readonly removals: RemoveSandboxes,
    @Inject(STOP_ON_SHUTDOWN) private readonly stopOnShutdown: boolean,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @throws ConfigError with everything that keeps sandboxes from running here */
  async onModuleInit(): Promise<void> {
    // What a crash left half made is cleared away before the probe makes a sandbox of its own.
    await this.driver.reconcile();
    const { ok, problems, warnings, isolation, features } = await this.driver.probe();
    if (!ok) throw new ConfigError(problems.map(problem => `sandboxes cannot run on this node: ${problem}`));
    for (const warning of warnings) this.logger.warn({ driver: this.driver.name }, warning);
    this.logger.info({ driver: this.driver.name, isolation, features: [...features] }, 'sandboxes can run');
    await this.reconciling.run();
    this.driver.warmUp?.();
    this.every(RECONCILE_INTERVAL_MS, 'reconciliation failed', () => this.reconciling.run());
    this.every(SWEEP_INTERVAL_MS, 'looking for deleted sandboxes failed', () => this.removals.sweep());
  }

  async onApplicationShutdown(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await this.boxes.close({ stop: this.stopOnShutdown });
    await this.driver.close();
  }

  private every(intervalMs: number, failure: string, work: () => Promise<void>): void {
    let busy = false;
    const turn = async (): Promise<void> => {
      if (busy) return;
      busy = true;
      try {
        await work();
      } catch (err) {
        this.logger.warn({ err }, failure);
      } finally {
        busy = false;
      }
    };
    this.timers.push(setInterval(() => void turn(), intervalMs).unref());
  }
}
