import { notFound, VAULTS_OF_RUN_MAX, type VaultSource } from '@gatehouse/contracts';

/** A vault that may be used: active, of the asking team. */
export interface UsableVault {
  readonly id: string;
  readonly externalUserId: string | null;
  readonly isDefault: boolean;
  readonly createdAt: Date;
}

export interface VaultRequest {
  /** Of the request. Undefined falls through; an empty list ends the search with none. */
  readonly vaultIds: readonly string[] | undefined;
  readonly externalUserId: string | undefined;
  /** Of the agent's definition. */
  readonly agentVaultIds: readonly string[];
}

export interface ResolvedVaults {
  readonly source: VaultSource;
  /** In the order in which they are asked for a credential; at most {@link VAULTS_OF_RUN_MAX}. */
  readonly vaultIds: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * The first layer that applies gives the list (spec 8.5): request, end user, agent, team default, none.
 * @param usable at least every vault the request could mean
 * @throws GatehouseError `not_found` when the request names a vault that cannot be used
 */
export const resolveVaults = ({ vaultIds, externalUserId, agentVaultIds }: VaultRequest, usable: readonly UsableVault[]): ResolvedVaults => {
  const byId = new Map(usable.map(vault => [vault.id, vault]));

  if (vaultIds !== undefined) {
    const wanted = distinct(vaultIds);
    if (wanted.some(id => !byId.has(id))) throw notFound('Vault');
    return { source: 'session', vaultIds: wanted, warnings: [] };
  }

  if (externalUserId !== undefined) {
    const theirs = usable.filter(vault => vault.externalUserId === externalUserId).sort(oldestFirst);
    const tooMany = theirs.length > VAULTS_OF_RUN_MAX ? [`The end user has more than ${VAULTS_OF_RUN_MAX} vaults; only the ${VAULTS_OF_RUN_MAX} oldest are used`] : [];
    if (theirs.length > 0) return { source: 'external_user', vaultIds: theirs.slice(0, VAULTS_OF_RUN_MAX).map(({ id }) => id), warnings: tooMany };
  }

  const wanted = distinct(agentVaultIds);
  const warnings = wanted.filter(id => !byId.has(id)).map(id => `Vault ${id} of the agent is not available and was skipped`);
  const found = wanted.filter(id => byId.has(id));
  if (found.length > 0) return { source: 'agent_config', vaultIds: found, warnings };

  const standard = usable.find(({ isDefault }) => isDefault);
  return standard === undefined ? { source: 'none', vaultIds: [], warnings } : { source: 'team_default', vaultIds: [standard.id], warnings };
};

const distinct = (ids: readonly string[]): string[] => [...new Set(ids.map(id => id.toLowerCase()))];

const oldestFirst = (a: UsableVault, b: UsableVault): number => a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1);
