import { type Caller, GatehouseError, isSandboxId, notFound, type SandboxRef } from '@gatehouse/contracts';
import { HeldElsewhere } from '@gatehouse/rpc';
import { Inject, Injectable } from '@nestjs/common';
import type { SandboxHandle } from '../drivers/sandbox.driver.js';
import { NODE_ID } from '../tokens.js';
import { NodeBoxes } from './node-boxes.js';
import { type SandboxInUse, SandboxesStore } from './sandboxes.store.js';

/**
 * The one sandbox a reference names (spec 5.1).
 * @throws GatehouseError `not_found`; `conflict` when several agents use the id
 */
export const theOne = <Row>(rows: readonly Row[]): Row => {
  const [row, another] = rows;
  if (row === undefined) throw notFound('Sandbox');
  if (another !== undefined) throw new GatehouseError('conflict', 'Several agents have a sandbox of this id: choose one with the query parameter agent');
  return row;
};

/** The way into a sandbox for every kind of call: files, commands, runs. */
@Injectable()
export class HeldSandboxes {
  constructor(
    private readonly sandboxes: SandboxesStore,
    private readonly boxes: NodeBoxes,
    @Inject(NODE_ID) private readonly nodeId: string,
  ) {}

  /**
   * @throws GatehouseError `not_found`, `conflict`
   * @throws HeldElsewhere when another node has its disk
   */
  async find(caller: Caller, { id, agent }: SandboxRef): Promise<SandboxInUse> {
    const sandbox = theOne(isSandboxId(id) ? await this.sandboxes.inUse(caller, id, agent) : []);
    if (sandbox.nodeId !== this.nodeId) throw new HeldElsewhere(sandbox.nodeId);
    return sandbox;
  }

  /**
   * Runs `work` in the sandbox, started first where it does not run.
   * @throws GatehouseError `not_found`, `conflict`; `sandbox_error` 503 when it cannot be started or is still being created
   */
  async use<T>(caller: Caller, ref: SandboxRef, work: (handle: SandboxHandle, sandbox: SandboxInUse) => Promise<T>): Promise<T> {
    const sandbox = await this.find(caller, ref);
    return this.boxes.use(sandbox.id, handle => work(handle, sandbox));
  }
}
