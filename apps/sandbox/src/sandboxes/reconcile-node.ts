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
  /** Disks that no row has known for a day. */
  disksFreed: number;
}

/** A disk without a row is not needed, but cannot be had back: a database that is being restored gets time for it. */
const ORPHANED_DISK_AGE_MS = 86_400_000;
const LOOK_UP_AT_ONCE = 1_000;

/** Makes what runs on this node and what its rows say the same again, after a crash, a reboot or a lost write. */
@Injectable()
export class ReconcileNode {
  constructor(
    @Inject(SANDBOX_DRIVER) private readonly driver: SandboxDriver,
    private readonly boxes: NodeBoxes,
    private readonly rows: NodeSandboxesStore,
    private readonly removals: RemoveSandboxes,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Safe beside live traffic: what this process runs or is busy with is left alone. */
  async run(): Promise<void> {
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
    await this.freeOrphanedDisks(findings);
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
    await (row === undefined ? handle.destroy() : handle.stop());
    return null;
  }

  private async settleRow(row: NodeSandbox, findings: Findings): Promise<null> {
    if (await this.rows.remove(row.id, 'discard')) findings.discarded++;
    else if (await this.rows.apply('restart', row)) findings.boxesLost++;
    return null;
  }

  private async freeOrphanedDisks(findings: Findings): Promise<void> {
    const old: string[] = [];
    for await (const { sandboxId, lastUsedAt } of this.driver.idleDisks()) if (Date.now() - lastUsedAt.getTime() > ORPHANED_DISK_AGE_MS) old.push(sandboxId);
    for (let at = 0; at < old.length; at += LOOK_UP_AT_ONCE) {
      const ids = old.slice(at, at + LOOK_UP_AT_ONCE);
      const known = await this.rows.known(ids);
      for (const id of ids.filter(id => !known.has(id))) {
        await this.settle(id, async () => {
          await this.driver.removeDisk(id);
          findings.disksFreed++;
          return null;
        });
      }
    }
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
