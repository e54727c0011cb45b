import { patternsFor } from './host-match.js';

/** What a credential is found by. */
export interface MatchableCredential {
  readonly id: string;
  readonly vaultId: string;
  /** Its scheme, port and path count. */
  readonly serverUrlNormalized: string;
}

/**
 * The credential a request gets, or null (spec 10.7).
 * @param target where the request goes; its query and fragment are ignored
 * @param vaultIds in the run's order: the first vault with a match decides
 */
export const matchCredential = <C extends MatchableCredential>(target: URL, vaultIds: readonly string[], credentials: readonly C[]): C | null => {
  if (target.hostname.includes('*')) return null; // a pattern is no host
  const patterns = patternsFor(target.hostname);
  const places = credentials
    .map(credential => ({ credential, url: new URL(credential.serverUrlNormalized) }))
    // The origin of a URL leaves out the scheme's own port, as its host does.
    .filter(({ url }) => url.protocol === target.protocol && url.port === target.port && patterns.includes(url.hostname));
  for (const vaultId of vaultIds) {
    const inVault = places.filter(({ credential }) => credential.vaultId === vaultId);
    if (inVault.length === 1) return inVault[0]?.credential ?? null;
    const [best] = inVault
      .filter(({ url }) => isWithin(target.pathname, url.pathname))
      .sort(
        (a, b) =>
          patterns.indexOf(a.url.hostname) - patterns.indexOf(b.url.hostname) || b.url.pathname.length - a.url.pathname.length || (a.credential.serverUrlNormalized < b.credential.serverUrlNormalized ? -1 : 1),
      );
    if (best !== undefined) return best.credential;
  }
  return null;
};

/** Whole segments: /mcp holds /mcp and /mcp/x but not /mcpx. */
const isWithin = (path: string, prefix: string): boolean => prefix === '/' || path === prefix || path.startsWith(`${prefix}/`);
