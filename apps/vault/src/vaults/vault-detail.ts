import { type AgentServers, normaliseServerUrl, type Vault, type VaultAgent, type VaultDetail } from '@gatehouse/contracts';
import { normalisedOrNull } from './coverage.js';

/** Which declared servers one vault has credentials for (spec 10.4). */
export const agentsAndCoverage = ({ credentials }: Vault, agents: readonly AgentServers[]): Pick<VaultDetail, 'agents' | 'coverage'> => {
  const active = credentials.filter(({ status }) => status === 'active');
  const byUrl = new Map(active.map(credential => [credential.serverUrlNormalized, credential]));
  const missing = new Set<string>();

  const shown = agents.map(
    ({ id, name, slug, activeVersion, servers }): VaultAgent => ({
      id,
      name,
      slug,
      activeVersion,
      servers: servers.map(server => {
        const credential = byUrl.get(normalisedOrNull(server.url) ?? '');
        if (credential === undefined) missing.add(hostOf(server.url));
        return { name: server.name, url: server.url, status: credential === undefined ? 'missing_credential' : 'ready', credentialId: credential?.id ?? null, credentialName: credential?.name ?? null };
      }),
    }),
  );
  return { agents: shown, coverage: { active: [...new Set(active.map(({ hostPattern }) => hostPattern))].sort(), missing: [...missing].sort() } };
};

const hostOf = (url: string): string => {
  try {
    return normaliseServerUrl(url).hostPattern;
  } catch {
    return new URL(url).hostname; // an agent may declare what no credential can be kept for
  }
};
