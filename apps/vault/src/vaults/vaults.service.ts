import {
  agentsRpc,
  type Caller,
  type Coverage,
  type CoverageMode,
  type CreateVault,
  type DeleteVault,
  GatehouseError,
  type ListVaults,
  notFound,
  type ResolveVaults,
  type RpcCall,
  type RpcClient,
  type RpcHandlers,
  type ServerSuggestion,
  type UpdateVault,
  uuidV4,
  type Vault,
  type VaultDetail,
  type VaultList,
  type VaultRef,
  vaultsRpc,
} from '@gatehouse/contracts';
import { OneAtATime } from '@gatehouse/platform';
import { InjectRpc, RpcService } from '@gatehouse/rpc';
import { Inject } from '@nestjs/common';
import { apiEvent } from '../audit/audit-event.js';
import type { CredentialRow } from '../credentials/credential-row.js';
import { CredentialViews } from '../credentials/credential-view.js';
import { COVERAGE_MODE, SUGGESTIONS } from '../tokens.js';
import { coverageWarnings, coverServers, normalisedOrNull } from './coverage.js';
import { resolveVaults } from './resolve-vaults.js';
import { agentsAndCoverage } from './vault-detail.js';
import { vaultIdOf } from './vault-id.js';
import { type VaultRow, VaultsStore } from './vaults.store.js';

/** Vaults of a team (spec 10.3), and which of them a run may use (8.5). */
@RpcService(vaultsRpc)
export class VaultsService implements RpcHandlers<typeof vaultsRpc> {
  /** Those who choose the default of one team wait here rather than each on a connection of its own behind the same lock. */
  private readonly choosers = new OneAtATime();
  /** The lists of one team come one after the other: they are not paged, so they may be long, and other teams work beside them. */
  private readonly listers = new OneAtATime();

  constructor(
    private readonly vaults: VaultsStore,
    private readonly credentials: CredentialViews,
    @InjectRpc(agentsRpc) private readonly agents: RpcClient<typeof agentsRpc>,
    @Inject(COVERAGE_MODE) private readonly mode: CoverageMode,
    @Inject(SUGGESTIONS) private readonly suggestions: readonly ServerSuggestion[],
  ) {}

  /** The default first, then the latest change. */
  list({ teamId }: Caller, { status }: ListVaults, { signal }: RpcCall): Promise<VaultList> {
    return this.listers.run(teamId, async () => {
      signal.throwIfAborted();
      const rows = await this.vaults.list(teamId, status);
      const credentials = await this.vaults.credentialsOf(rows.map(({ id }) => id));
      const byVault = new Map<string, CredentialRow[]>(rows.map(({ id }) => [id, []]));
      for (const row of credentials) byVault.get(row.vaultId)?.push(row);
      const vaults: Vault[] = [];
      for (const row of rows) {
        signal.throwIfAborted();
        vaults.push(await this.view(row, byVault.get(row.id) ?? []));
      }
      return { vaults, suggestions: this.suggestions };
    });
  }

  async create(caller: Caller, { name, description = null, metadata = {} }: CreateVault): Promise<Vault> {
    const id = uuidV4();
    return this.view(await this.vaults.create({ id, teamId: caller.teamId, name, description, metadata }, apiEvent(caller, 'vault.created', id)), []);
  }

  async get(caller: Caller, { vaultId }: VaultRef, { signal }: RpcCall): Promise<VaultDetail> {
    const row = await this.vaults.find(caller.teamId, vaultIdOf(vaultId));
    if (row === null) throw notFound('Vault');
    const [credentials, agents] = await Promise.all([this.vaults.credentialsOf([row.id]), this.agents.servers(caller, {}, { signal })]);
    const vault = await this.view(row, credentials);
    return { ...vault, vault, ...agentsAndCoverage(vault, agents), suggestions: this.suggestions };
  }

  async update(caller: Caller, { vaultId, name, description, metadata }: UpdateVault): Promise<Vault> {
    const id = vaultIdOf(vaultId);
    const row = await this.vaults.update(caller.teamId, id, { name, description, metadata }, apiEvent(caller, 'vault.updated', id));
    if (row === null) throw notFound('Vault');
    return this.view(row, await this.vaults.credentialsOf([id]));
  }

  /** Archives, or with `force` removes what is archived. */
  async delete(caller: Caller, { vaultId, force }: DeleteVault): Promise<void> {
    const id = vaultIdOf(vaultId);
    if (force === 'true') {
      const outcome = await this.vaults.remove(caller.teamId, id, apiEvent(caller, 'vault.deleted', id));
      if (outcome === 'active') throw new GatehouseError('conflict', 'Vault must be archived before it is deleted');
      if (outcome === 'missing') throw notFound('Vault');
    } else if (!(await this.vaults.archive(caller.teamId, id, apiEvent(caller, 'vault.archived', id)))) {
      throw notFound('Vault');
    }
  }

  async setDefault(caller: Caller, { vaultId }: VaultRef, { signal }: RpcCall): Promise<void> {
    const id = vaultIdOf(vaultId);
    const chosen = await this.choosers.run(caller.teamId, async () => {
      // Who was told to come back gets nothing done later.
      signal.throwIfAborted();
      return this.vaults.setDefault(caller.teamId, id, apiEvent(caller, 'vault.made_default', id));
    });
    if (!chosen) throw notFound('Vault');
  }

  /** Never refuses for want of coverage: what is missing is for the caller to judge by `mode`. */
  async resolve({ teamId }: Caller, { vaultIds: given, externalUserId, agentVaultIds, servers }: ResolveVaults): Promise<Coverage> {
    const request = { vaultIds: given, externalUserId, agentVaultIds };
    const { source, vaultIds, warnings } = resolveVaults(request, await this.vaults.usable(teamId, request));
    if (this.mode === 'off') return { ok: true, mode: 'off', source, vaultIds, services: [], missing: [], warnings };
    const urls = servers.map(({ url }) => normalisedOrNull(url)).filter(url => url !== null);
    const services = coverServers(servers, vaultIds, await this.vaults.covering(vaultIds, urls));
    const missing = services.filter(({ status }) => status !== 'covered').map(({ name }) => name);
    return { ok: missing.length === 0, mode: this.mode, source, vaultIds, services, missing, warnings: [...warnings, ...coverageWarnings(services)] };
  }

  private async view(row: VaultRow, credentials: readonly CredentialRow[]): Promise<Vault> {
    const { id, teamId, name, description, metadata, isDefault, status, createdAt, updatedAt, archivedAt } = row;
    return {
      id,
      teamId,
      name,
      description,
      metadata,
      isDefault,
      status,
      createdAt: createdAt.toISOString(),
      updatedAt: updatedAt.toISOString(),
      archivedAt: archivedAt?.toISOString() ?? null,
      credentials: await this.credentials.ofAll(credentials),
    };
  }
}
