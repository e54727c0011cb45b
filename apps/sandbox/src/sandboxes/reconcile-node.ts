import type { Logger } from '@gatehouse/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { BoxRef, SandboxDriver } from '../drivers/sandbox.driver.js';
import { LOGGER, SANDBOX_DRIVER } from '../tokens.js';
import { NodeBoxes, type Started } from './node-boxes.js';
import { type NodeSandbox, NodeSandboxesStore } from './node-sandboxes.store.js';
import { RemoveSandboxes } from './remove-sandboxes.js';

/** What one reconciliation found out of place. */
interface Findings {
  /** Sandboxes of an earlier process that run on. */
  adopted: number;
  /** Boxes that no row, or another life of their sandbox, belongs to. */
  boxesEnded: number;
  /** Sandboxes whose box is gone. */
  boxesLost: number;
  /** Sandboxes whose first provisioning was cut short. */
  discarded: number;
  /** Disks that no row was there for whenever one looked, for a day. */
  disksFreed: number;
}

/**
 * A disk without a row is not needed, but cannot be had back: a database that is being restored, or is the wrong one, gets time to be
 * noticed. Counted by one process; the next begins anew.
 */
const ORPHANED_DISK_AGE_MS = 86_400_000;
const LOOK_UP_AT_ONCE = 1_000;

/** Makes what runs on this node and what its rows say the same again, after a crash, a reboot or a lost write. */
@Injectable()
export class ReconcileNode {
  /** Disks that had no row at every look since then. */
  private readonly orphanedSinceMs = new Map<string, number>();

  constructor(
    @Inject(SANDBOX_DRIVER) private readonly driver: SandboxDriver,
    private readonly boxes: NodeBoxes,
    private readonly rows: NodeSandboxesStore,
    private readonly removals: RemoveSandboxes,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Safe beside live traffic: what this process runs or is busy with is left alone.
   * @param nowMs of a clock that only goes forward
   */
  async run(nowMs = performance.now()): Promise<void> {
    const { swept } = await this.driver.reconcile();
    const findings: Findings = { adopted: 0, boxesEnded: 0, boxesLost: 0, discarded: 0, disksFreed: 0 };
    // Rows before boxes: a row that was active then and whose box is missing now has really lost it.
    const rowsBefore = await this.rows.living();
    const found = await this.findBoxes();
    // Boxes before rows: a row is written before its box is made, so a box without one has lost it.
    const rowsAfter = await this.rows.known(found.map(({ sandboxId }) => sandboxId));
    for (const box of found) await this.settle(box.sandboxId, () => this.settleBox(box, rowsAfter.get(box.sandboxId), findings));
    for (const row of rowsBefore) await this.settle(row.id, () => this.settleRow(row, findings));
    await this.removals.sweep();
    await this.freeOrphanedDisks(findings, nowMs);
    if (swept.length > 0 || Object.values(findings).some(count => count > 0)) this.logger.info({ ...findings, leftoversCleared: swept.length }, 'node reconciled');
  }

  private async findBoxes(): Promise<BoxRef[]> {
    const found: BoxRef[] = [];
    for await (const { state, ...box } of this.driver.list()) if (state === 'running') found.push(box);
    return found;
  }

  private async settleBox(box: BoxRef, row: NodeSandbox | undefined, findings: Findings): Promise<Started | null> {
    const handle = await this.driver.attach(box);
    if (handle === null) return null;
    const plan = row === undefined ? null : await this.rows.startPlan(row.id);
    if (row?.status === 'active' && plan?.generation === box.generation) {
      findings.adopted++;
      return { handle, timeoutMs: plan.timeoutMs };
    }
    findings.boxesEnded++;
    await handle.stop(); // its disk is an orphan from now on, if no row knows it
    return null;
  }

  private async settleRow(row: NodeSandbox, findings: Findings): Promise<null> {
    if (await this.rows.remove(row.id, 'discard')) findings.discarded++;
    else if (await this.rows.apply('restart', row)) findings.boxesLost++;
    return null;
  }

  private async freeOrphanedDisks(findings: Findings, nowMs: number): Promise<void> {
    const idle: string[] = [];
    for await (const sandboxId of this.driver.idleDisks()) idle.push(sandboxId);
    const orphans = new Set<string>();
    for (let at = 0; at < idle.length; at += LOOK_UP_AT_ONCE) {
      const ids = idle.slice(at, at + LOOK_UP_AT_ONCE);
      const existing = await this.rows.existing(ids);
      for (const id of ids) if (!existing.has(id)) orphans.add(id);
    }
    for (const id of this.orphanedSinceMs.keys()) if (!orphans.has(id)) this.orphanedSinceMs.delete(id);
    for (const id of orphans) {
      const sinceMs = this.orphanedSinceMs.get(id) ?? nowMs;
      this.orphanedSinceMs.set(id, sinceMs);
      if (nowMs - sinceMs >= ORPHANED_DISK_AGE_MS) await this.settle(id, () => this.freeDisk(id, findings));
    }
  }

  private async freeDisk(id: string, findings: Findings): Promise<null> {
    await this.driver.removeDisk(id);
    this.orphanedSinceMs.delete(id);
    findings.disksFreed++;
    return null;
  }

  /** One sandbox that resists must not keep the others from being settled. */
  private async settle(id: string, work: () => Promise<Started | null>): Promise<void> {
    try {
      await this.boxes.settle(id, work);
    } catch (err) {
      this.logger.warn({ err, sandbox: id }, 'a sandbox was not reconciled; it will be');
    }
  }
}
