import type { Logger } from '@gatehouse/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { BoxRef, SandboxDriver } from '../drivers/sandbox.driver.js';
import { LOGGER, SANDBOX_DRIVER } from '../tokens.js';
import { NodeBoxes, type Started } from './node-boxes.js';
import { type NodeSandbox, NodeSandboxesStore } from './node-sandboxes.store.js';
import { RemoveSandboxes } from './remove-sandboxes.js';

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
    await this.driver.reconcile();
    // Rows before boxes: a row that was active then and whose box is missing now has really lost it.
    const rowsBefore = await this.rows.living();
    const found = await this.findBoxes();
    // Boxes before rows: a row is written before its box is made, so a box without one has lost it.
    const rowsAfter = await this.rows.known(found.map(({ sandboxId }) => sandboxId));
    for (const box of found) await this.settle(box.sandboxId, () => this.settleBox(box, rowsAfter.get(box.sandboxId)));
    for (const row of rowsBefore) await this.settle(row.id, () => this.settleRow(row));
    await this.removals.sweep();
  }

  private async findBoxes(): Promise<BoxRef[]> {
    const found: BoxRef[] = [];
    for await (const { state, ...box } of this.driver.list()) if (state === 'running') found.push(box);
    return found;
  }

  private async settleBox(box: BoxRef, row: NodeSandbox | undefined): Promise<Started | null> {
    const handle = await this.driver.attach(box);
    if (handle === null) return null;
    const plan = row === undefined ? null : await this.rows.startPlan(row.id);
    if (row?.status === 'active' && plan?.generation === box.generation) return { handle, timeoutMs: plan.timeoutMs };
    await (row === undefined ? handle.destroy() : handle.stop());
    return null;
  }

  private async settleRow(row: NodeSandbox): Promise<null> {
    if (!(await this.rows.remove(row.id, 'discard'))) await this.rows.apply('restart', row);
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
