import { GatehouseError } from '../errors/gatehouse-error.js';

export const COVERAGE_MODES = ['strict', 'warn', 'off'] as const;
export type CoverageMode = (typeof COVERAGE_MODES)[number];

/** Which layer gave the vaults. */
export type VaultSource = 'session' | 'external_user' | 'agent_config' | 'team_default' | 'none';

export interface ServiceCoverage {
  readonly name: string;
  readonly url: string;
  readonly status: 'covered' | 'archived' | 'missing';
  /** Null unless covered. */
  readonly vaultId: string | null;
  readonly credentialId: string | null;
}

export interface Coverage {
  /** Nothing is missing. */
  readonly ok: boolean;
  readonly mode: CoverageMode;
  readonly source: VaultSource;
  /** In the order in which they are asked for a credential; at most `VAULTS_OF_RUN_MAX`. */
  readonly vaultIds: readonly string[];
  readonly services: readonly ServiceCoverage[];
  /** Names of servers, in declaration order. */
  readonly missing: readonly string[];
  readonly warnings: readonly string[];
}

type Missing = Pick<Coverage, 'mode' | 'missing'>;

/** Why a run may not begin (spec 8.5): in `strict` mode a declared server has no credential. Null when it may. */
export const coverageRefusal = ({ mode, missing }: Missing): GatehouseError<'vault_coverage_missing'> | null =>
  mode === 'strict' && missing.length > 0 ? new GatehouseError('vault_coverage_missing', `No credential covers MCP servers: ${missing.join(', ')}`, { missing: [...missing] }) : null;

/** Value of the header `x-vault-coverage-missing` of a run that begins in `warn` mode (spec 8.5). Null when it has none. */
export const coverageMissingHeader = ({ mode, missing }: Missing): string | null => (mode === 'warn' && missing.length > 0 ? missing.map(percentEncoded).join(',') : null);

/** As `encodeURIComponent` writes what is outside visible ASCII; that throws at half a surrogate pair, which a name may have. */
const percentEncoded = (name: string): string => name.replace(/[^\x21-\x7e]|[,%]/gu, character => [...Buffer.from(character)].map(byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''));
