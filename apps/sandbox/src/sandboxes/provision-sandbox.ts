import { type CreatedSandbox, type CreateSandbox, GatehouseError, notFound, sandboxUnavailable, uuidV7 } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject, Injectable } from '@nestjs/common';
import { CWD_DEFAULT } from '../agents/agent-definition.js';
import type { AgentForSandbox } from '../agents/agents.store.js';
import type { SandboxHandle } from '../drivers/sandbox.driver.js';
import { agentPlace, openEnvs, sandboxPlace, sealEnvs } from '../envs/sealed-envs.js';
import { ENV_KEYS, LOGGER, NODE_ID } from '../tokens.js';
import { NodeBoxes, type Started } from './node-boxes.js';
import { NodeSandboxesStore } from './node-sandboxes.store.js';
import { prepareSandbox } from './prepare-sandbox.js';
import { FIRST_GENERATION } from './sandbox-state.js';
import { SandboxesStore } from './sandboxes.store.js';

/** A sandbox to be made; `sandboxId` is chosen by us, or in a chat by the caller. */
export type SandboxRequest = Omit<CreateSandbox, 'agent'> & { readonly sandboxId: string };

/** Makes new sandboxes on this node: the row first, then the box, its files, its setup. */
@Injectable()
export class ProvisionSandbox {
  constructor(
    private readonly sandboxes: SandboxesStore,
    private readonly rows: NodeSandboxesStore,
    private readonly boxes: NodeBoxes,
    @Inject(NODE_ID) private readonly nodeId: string,
    @Inject(ENV_KEYS) private readonly envKeys: KeyRing,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Resolves once the sandbox is active. A failure leaves neither box, disk nor row.
   * @param signal gives up when it aborts
   * @throws GatehouseError `sandbox_error` 503 when it cannot be started, 500 when files or setup fail; `not_found` when its agent is deleted meanwhile
   */
  async create(agent: AgentForSandbox, request: SandboxRequest, signal: AbortSignal): Promise<CreatedSandbox> {
    const life = { id: uuidV7(), generation: FIRST_GENERATION };
    let createdAt = new Date(0);
    await this.boxes.create(life.id, signal, async aborted => {
      createdAt = await this.writeRow(agent, request, life);
      return this.provision(agent, request, life, aborted);
    });
    return { id: request.sandboxId, sandboxId: request.sandboxId, status: 'active', createdAt: createdAt.toISOString() };
  }

  private async writeRow({ id: agentId, teamId, version }: AgentForSandbox, request: SandboxRequest, { id, generation }: { id: string; generation: number }): Promise<Date> {
    const { sandboxId, timeoutMs = null, networkAllowOut = [], networkDenyOut = [], envs = {}, metadata = {}, externalUserId = null } = request;
    const sealed = await sealEnvs(this.envKeys, envs, sandboxPlace(teamId, id));
    const createdAt = await this.sandboxes.create({
      ...{ id, sandboxId, teamId, agentId, agentVersion: version, nodeId: this.nodeId, generation },
      ...{ timeoutMs, networkAllowOut, networkDenyOut, envs: sealed, metadata, externalUserId },
    });
    if (createdAt === null) throw notFound('Agent');
    return createdAt;
  }

  private async provision(agent: AgentForSandbox, request: SandboxRequest, life: { id: string; generation: number }, signal: AbortSignal): Promise<Started> {
    const { sandbox } = agent.definition;
    let handle: SandboxHandle | undefined;
    try {
      const started = await this.boxes.start(life.id, { generation: life.generation, timeoutMs: request.timeoutMs ?? sandbox.timeoutMs, size: sandbox }, signal);
      handle = started.handle;
      const envs = { ...(await openEnvs(this.envKeys, agent.envs, agentPlace(agent.teamId, agent.id, agent.version))), ...request.envs };
      const files = [sandbox.files, request.files ?? {}];
      await prepareSandbox(handle, { files, cwd: sandbox.cwd, cwdDefault: CWD_DEFAULT, setup: [...sandbox.setup, ...(request.setup ?? [])], envs }, signal);
      if (!(await this.rows.apply('ready', life))) throw notFound('Sandbox');
      return started;
    } catch (error) {
      await this.discard(life.id, handle);
      // Why it was given up says more than what that broke.
      if (signal.aborted) throw signal.reason instanceof GatehouseError ? signal.reason : sandboxUnavailable('The sandbox was not ready in time', error);
      throw error;
    }
  }

  /** What cannot be cleared away now is known as a removal, or as a row that no box belongs to, and cleared away later. */
  private async discard(id: string, handle: SandboxHandle | undefined): Promise<void> {
    try {
      await this.rows.remove(id);
      await this.boxes.free(id, handle);
      await this.rows.forgetRemoval(id);
    } catch (err) {
      this.logger.warn({ err, sandbox: id }, 'a failed sandbox was not cleared away; it will be');
    }
  }
}
