import { normaliseServerUrl, type ServiceCoverage, type VaultStatus } from '@gatehouse/contracts';

/** A server as an agent declares it. */
export interface DeclaredServer {
  readonly name: string;
  readonly url: string;
}

export interface CoveringCredential {
  readonly id: string;
  readonly vaultId: string;
  readonly serverUrlNormalized: string;
  readonly status: VaultStatus;
}

/** null for an address no credential can be kept for, such as a link-local one. */
export const normalisedOrNull = (url: string): string | null => {
  try {
    return normaliseServerUrl(url).normalized;
  } catch {
    return null;
  }
};

/**
 * Which declared server has a credential in which vault (spec 8.5).
 * @param vaultIds in order: the first vault with an active credential covers
 */
export const coverServers = (servers: readonly DeclaredServer[], vaultIds: readonly string[], credentials: readonly CoveringCredential[]): ServiceCoverage[] => {
  return servers.map(({ name, url }) => {
    const normalized = normalisedOrNull(url);
    const kept = credentials.filter(({ vaultId, serverUrlNormalized }) => serverUrlNormalized === normalized && vaultIds.includes(vaultId));
    const [covering] = kept.filter(({ status }) => status === 'active').sort((a, b) => vaultIds.indexOf(a.vaultId) - vaultIds.indexOf(b.vaultId));
    if (covering !== undefined) return { name, url, status: 'covered', vaultId: covering.vaultId, credentialId: covering.id };
    return { name, url, status: kept.length > 0 ? 'archived' : 'missing', vaultId: null, credentialId: null };
  });
};

export const coverageWarnings = (services: readonly ServiceCoverage[]): string[] => services.filter(({ status }) => status === 'archived').map(({ name }) => `${name}: only archived credentials found`);
