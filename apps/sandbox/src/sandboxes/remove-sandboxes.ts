import type { Logger } from '@gatehouse/platform';
import { Inject, Injectable } from '@nestjs/common';
import { LOGGER, NODE_ID } from '../tokens.js';
import { NodeBoxes } from './node-boxes.js';
import { NodeSandboxesStore } from './node-sandboxes.store.js';
import type { SandboxRemoval } from './sandboxes.store.js';

/**
 * Frees boxes and disks of deleted sandboxes. Their rows are gone, and a removal stands in for each until its node has
 * done the work: whatever fails or crashes on the way is done again by the next sweep.
 */
@Injectable()
export class RemoveSandboxes {
  constructor(
    private readonly boxes: NodeBoxes,
    private readonly rows: NodeSandboxesStore,
    @Inject(NODE_ID) private readonly nodeId: string,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Does those of this node. Never rejects: to their callers the sandboxes are deleted. */
  async finish(removals: readonly SandboxRemoval[]): Promise<void> {
    await Promise.all(removals.filter(({ nodeId }) => nodeId === this.nodeId).map(({ sandboxRowId }) => this.finishOne(sandboxRowId)));
  }

  /** Does all that are due on this node. */
  async sweep(): Promise<void> {
    await Promise.all((await this.rows.removals()).map(id => this.finishOne(id)));
  }

  private async finishOne(id: string): Promise<void> {
    try {
      await this.boxes.remove(id);
      await this.rows.forgetRemoval(id);
    } catch (err) {
      this.logger.warn({ err, sandbox: id }, 'a deleted sandbox was not freed; it will be');
    }
  }
}
