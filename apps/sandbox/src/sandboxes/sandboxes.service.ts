import {
  type Caller,
  type CreatedSandbox,
  type CreateSandbox,
  type ExecCommand,
  type ExecResult,
  isSandboxId,
  type ListSandboxes,
  notFound,
  type Page,
  PAGE_LIMIT_DEFAULT,
  type RpcCall,
  type RpcHandlers,
  type Sandbox,
  type SandboxRef,
  type SandboxSummary,
  sandboxesRpc,
  uuidV4,
} from '@gatehouse/contracts';
import { RpcService } from '@gatehouse/rpc';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject } from '@nestjs/common';
import { AgentsStore } from '../agents/agents.store.js';
import { agentPlace, type Envs, openEnvs, sandboxPlace } from '../envs/sealed-envs.js';
import { newestFirst } from '../pages/page-cursors.js';
import { pageOf } from '../pages/page-of.js';
import { ENV_KEYS } from '../tokens.js';
import { execCommand } from './exec-command.js';
import { HeldSandboxes, theOne } from './held-sandboxes.js';
import { NodeSandboxesStore } from './node-sandboxes.store.js';
import { ProvisionSandbox } from './provision-sandbox.js';
import { RemoveSandboxes } from './remove-sandboxes.js';
import { RunningCommands } from './running-commands.js';
import { sandboxSummary, sandboxView } from './sandbox-view.js';
import { type SandboxInUse, SandboxesStore } from './sandboxes.store.js';

/** Sandboxes and commands in them (spec 5, 6.3). What a caller may not see is not there. */
@RpcService(sandboxesRpc)
export class SandboxesService implements RpcHandlers<typeof sandboxesRpc> {
  constructor(
    private readonly agents: AgentsStore,
    private readonly sandboxes: SandboxesStore,
    private readonly rows: NodeSandboxesStore,
    private readonly provisioning: ProvisionSandbox,
    private readonly held: HeldSandboxes,
    private readonly removals: RemoveSandboxes,
    private readonly commands: RunningCommands,
    @Inject(ENV_KEYS) private readonly envKeys: KeyRing,
  ) {}

  /** Resolves once files are written and setup is done. A failure leaves no record. */
  async create(caller: Caller, { agent: slug, ...request }: CreateSandbox, { signal }: Pick<RpcCall, 'signal'>): Promise<CreatedSandbox> {
    const agent = await this.agents.findForSandbox(caller.teamId, slug);
    if (agent === null) throw notFound('Agent');
    return this.provisioning.create(agent, { ...request, sandboxId: uuidV4() }, signal);
  }

  /** Newest first, without threads. */
  async list(caller: Caller, { limit = PAGE_LIMIT_DEFAULT, cursor, agent, status, metadata }: ListSandboxes): Promise<Page<SandboxSummary>> {
    const cursors = newestFirst('sandboxes', { teamId: caller.teamId, agent, status, metadata });
    const rows = await this.sandboxes.list(caller, { agent, status, metadata }, cursors.decode(cursor), limit + 1);
    return pageOf(rows, limit, sandboxSummary, row => cursors.encode(row));
  }

  async get(caller: Caller, { id, agent }: SandboxRef): Promise<Sandbox> {
    return sandboxView(theOne(isSandboxId(id) ? await this.sandboxes.withThreads(caller, id, agent) : []));
  }

  /** Of several at once, one deletes and the others find nothing. */
  async delete(caller: Caller, ref: SandboxRef): Promise<void> {
    const { id: sandboxRowId, nodeId } = await this.held.find(caller, ref);
    if (!(await this.rows.remove(sandboxRowId))) throw notFound('Sandbox');
    await this.removals.finish([{ sandboxRowId, nodeId }]);
  }

  /**
   * Runs a shell command to its end; a non-zero exit is a result. Whoever asked may go away, the command goes on until its
   * own time is over.
   */
  exec(caller: Caller, input: ExecCommand): Promise<ExecResult> {
    return this.commands.run(caller.teamId, () => this.held.use(caller, input, async (handle, sandbox) => execCommand(handle, input, await this.envsOf(sandbox))));
  }

  private async envsOf({ id, teamId, agentId, agentVersion, agentEnvs, ownEnvs }: SandboxInUse): Promise<Envs> {
    const [ofAgent, own] = await Promise.all([openEnvs(this.envKeys, agentEnvs, agentPlace(teamId, agentId, agentVersion)), openEnvs(this.envKeys, ownEnvs, sandboxPlace(teamId, id))]);
    return { ...ofAgent, ...own };
  }
}
