import { type CreatedSandbox, type CreateSandbox, GatehouseError, notFound, sandboxUnavailable, uuidV7 } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject, Injectable } from '@nestjs/common';
import { type AgentForSandbox, AgentsStore } from '../agents/agents.store.js';
import type { SandboxHandle } from '../drivers/sandbox.driver.js';
import { agentPlace, openEnvs, sandboxPlace, sealEnvs } from '../envs/sealed-envs.js';
import { ENV_KEYS, LOGGER, NODE_ID } from '../tokens.js';
import { loggedStep } from './logged-step.js';
import { NodeBoxes, type Started } from './node-boxes.js';
import { NodeSandboxesStore } from './node-sandboxes.store.js';
import { type Preparation, prepareSandbox } from './prepare-sandbox.js';
import { FIRST_GENERATION } from './sandbox-state.js';
import { SandboxesStore } from './sandboxes.store.js';

/** A sandbox to be made; `sandboxId` is chosen by us, or in a chat by the caller. */
export type SandboxRequest = Omit<CreateSandbox, 'agent'> & { readonly sandboxId: string };

interface Life {
  readonly id: string;
  readonly generation: number;
  readonly createdAt: Date;
}

/** Makes new sandboxes on this node: the row first, then the box, its files, its setup. */
@Injectable()
export class ProvisionSandbox {
  constructor(
    private readonly agents: AgentsStore,
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
    const life: Life = { id: uuidV7(), generation: FIRST_GENERATION, createdAt: new Date() };
    try {
      await this.boxes.create(life.id, signal, async aborted => {
        await this.writeRow(agent, request, life);
        return this.provision(agent, request, life, aborted);
      });
    } catch (error) {
      // To whoever asked, a sandbox that went away with its agent is an agent that is not there.
      const wentAway = error instanceof GatehouseError && error.code === 'not_found';
      throw wentAway && !(await this.agents.exists(agent.id)) ? notFound('Agent') : error;
    }
    return { id: request.sandboxId, sandboxId: request.sandboxId, status: 'active', createdAt: life.createdAt.toISOString() };
  }

  private async writeRow(agent: AgentForSandbox, request: SandboxRequest, life: Life): Promise<void> {
    const { sandboxId, timeoutMs = null, networkAllowOut = [], networkDenyOut = [], metadata = {}, externalUserId = null } = request;
    const { teamId, id: agentId, version: agentVersion } = agent;
    const envs = await sealEnvs(this.envKeys, request.envs ?? {}, sandboxPlace(teamId, life.id));
    const choices = { timeoutMs, networkAllowOut, networkDenyOut, envs, metadata, externalUserId };
    if (!(await this.sandboxes.create({ ...life, sandboxId, teamId, agentId, agentVersion, nodeId: this.nodeId, ...choices }))) throw notFound('Agent');
  }

  private async provision(agent: AgentForSandbox, request: SandboxRequest, life: Life, signal: AbortSignal): Promise<Started> {
    const { sandbox } = agent.definition;
    const log = this.logger.child({ sandbox: life.id });
    let started: Started | undefined;
    try {
      started = await loggedStep(log, { step: 'start' }, () => this.boxes.start(life.id, { generation: life.generation, timeoutMs: request.timeoutMs ?? sandbox.timeoutMs, size: sandbox }, signal));
      await prepareSandbox(started.handle, await this.preparation(agent, request), signal, log);
      if (!(await this.rows.apply('ready', life))) throw notFound('Sandbox');
      return started;
    } catch (error) {
      await this.discard(life.id, started?.handle);
      // Why it was given up says more than what that broke.
      if (signal.aborted) throw signal.reason instanceof GatehouseError ? signal.reason : sandboxUnavailable('The sandbox was not ready in time', error);
      throw error;
    }
  }

  private async preparation({ id, teamId, version, definition: { sandbox }, envs }: AgentForSandbox, request: SandboxRequest): Promise<Preparation> {
    const ofAgent = await openEnvs(this.envKeys, envs, agentPlace(teamId, id, version));
    return {
      files: [sandbox.files, request.files ?? {}],
      cwd: sandbox.cwd,
      setup: [...sandbox.setup, ...(request.setup ?? [])],
      envs: { ...ofAgent, ...request.envs },
    };
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
