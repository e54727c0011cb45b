import {
  type Agent,
  type AgentRef,
  type AgentServers,
  agentsRpc,
  type AgentVersion,
  type Caller,
  type CheckCoverage,
  type Coverage,
  GatehouseError,
  isAgentSlug,
  type ListAgentVersions,
  notFound,
  type Page,
  PAGE_LIMIT_DEFAULT,
  type PageQuery,
  type PutAgent,
  type RollbackAgent,
  type RpcCall,
  type RpcClient,
  type RpcHandlers,
  vaultsRpc,
} from '@gatehouse/contracts';
import { OneAtATime } from '@gatehouse/platform';
import { InjectRpc, RpcService } from '@gatehouse/rpc';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject } from '@nestjs/common';
import { agentPlace, sealEnvs } from '../envs/sealed-envs.js';
import type { Installation } from '../installation.js';
import { highestFirst, newestFirst } from '../pages/page-cursors.js';
import { pageOfWhole } from '../pages/page-of.js';
import { RemoveSandboxes } from '../sandboxes/remove-sandboxes.js';
import { ENV_KEYS, INSTALLATION } from '../tokens.js';
import { agentDefinition } from './agent-definition.js';
import { agentVersionView, agentView } from './agent-view.js';
import { AgentsStore } from './agents.store.js';

/** What cannot be a slug is an agent that does not exist; some of it Postgres would not even take as a text. */
const mustBeSlug = (slug: string): void => {
  if (!isAgentSlug(slug)) throw notFound('Agent');
};

/** Agents and their versions (spec 4). */
@RpcService(agentsRpc)
export class AgentsService implements RpcHandlers<typeof agentsRpc> {
  /** Writers of one slug wait here rather than each on a connection of its own behind the row's lock. */
  private readonly writers = new OneAtATime();

  constructor(
    private readonly agents: AgentsStore,
    private readonly removals: RemoveSandboxes,
    @Inject(ENV_KEYS) private readonly envKeys: KeyRing,
    @Inject(INSTALLATION) private readonly installation: Installation,
    @InjectRpc(vaultsRpc) private readonly vaults: Pick<RpcClient<typeof vaultsRpc>, 'resolve'>,
  ) {}

  /** Newest first. */
  async list({ teamId }: Caller, { limit = PAGE_LIMIT_DEFAULT, cursor }: PageQuery): Promise<Page<Agent>> {
    const cursors = newestFirst('agents', { teamId });
    const rows = await this.agents.list(teamId, cursors.decode(cursor), limit + 1);
    return pageOfWhole(rows, limit, agentView, row => cursors.encode(row));
  }

  async get({ teamId }: Caller, { slug }: AgentRef): Promise<Agent> {
    mustBeSlug(slug);
    const row = await this.agents.find(teamId, slug);
    if (row === null) throw notFound('Agent');
    return agentView(row);
  }

  /** Makes the next version and activates it. `created`: the slug was new. Values of `envs` are kept encrypted and never answered. */
  async put(caller: Caller, input: PutAgent, { signal }: Pick<RpcCall, 'signal'>): Promise<{ agent: Agent; created: boolean }> {
    const { teamId, keyId } = caller;
    const { slug, envs = {} } = input;
    const definition = agentDefinition(input, this.installation);
    const row = await this.writers.run(`${teamId}/${slug}`, async () => {
      signal.throwIfAborted();
      return this.agents.put(teamId, slug, {
        definition,
        envKeys: Object.keys(envs).sort(),
        keyId,
        sealEnvs: (agentId, version) => sealEnvs(this.envKeys, envs, agentPlace(teamId, agentId, version)),
      });
    });
    return { agent: agentView(row), created: row.version === 1 };
  }

  /** Also deletes its sandboxes and threads. Boxes on other nodes end when those look for removals. */
  async delete({ teamId }: Caller, { slug }: AgentRef): Promise<void> {
    mustBeSlug(slug);
    const removals = await this.writers.run(`${teamId}/${slug}`, () => this.agents.delete(teamId, slug));
    if (removals === null) throw notFound('Agent');
    await this.removals.finish(removals);
  }

  /** Highest first. */
  async versions({ teamId }: Caller, { slug, limit = PAGE_LIMIT_DEFAULT, cursor }: ListAgentVersions): Promise<Page<AgentVersion>> {
    mustBeSlug(slug);
    const cursors = highestFirst('agent-versions', { teamId, slug });
    const rows = await this.agents.versions(teamId, slug, cursors.decode(cursor), limit + 1);
    if (rows === null) throw notFound('Agent');
    return pageOfWhole(rows, limit, agentVersionView, ({ version }) => cursors.encode(version));
  }

  /** What a chat with the active version would find in the vaults (spec 8.5). Nothing is stored or started. */
  async coverage(caller: Caller, { slug, vaultIds, externalUserId }: CheckCoverage, { signal }: Pick<RpcCall, 'signal'>): Promise<Coverage> {
    mustBeSlug(slug);
    // The whole definition, for two of its fields: Postgres cannot look into one that has a NUL somewhere.
    const agent = await this.agents.find(caller.teamId, slug);
    if (agent === null) throw notFound('Agent');
    const { vaultIds: agentVaultIds, mcpServers } = agent.definition;
    return this.vaults.resolve(
      caller,
      {
        // Given and empty is not the same as absent: it ends the search.
        ...(vaultIds === undefined ? {} : { vaultIds }),
        ...(externalUserId === undefined ? {} : { externalUserId }),
        agentVaultIds: [...agentVaultIds],
        servers: [...mcpServers],
      },
      { signal },
    );
  }

  /** Agents whose active version declares servers, by name, then slug. */
  servers({ teamId }: Caller): Promise<readonly AgentServers[]> {
    return this.agents.servers(teamId);
  }

  /** Activates an older version; makes none. */
  async rollback({ teamId }: Caller, { slug, version }: RollbackAgent): Promise<Agent> {
    mustBeSlug(slug);
    const row = await this.writers.run(`${teamId}/${slug}`, () => this.agents.activate(teamId, slug, version));
    if (row === 'agent-missing') throw notFound('Agent');
    if (row === 'version-missing') throw notFound('Version');
    if (row === 'already-active') throw new GatehouseError('conflict', `Version ${version} is already active`);
    return agentView(row);
  }
}
