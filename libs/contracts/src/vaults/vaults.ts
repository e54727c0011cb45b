import { rpc, rpcContract } from '../rpc/contract.js';
import { FromPath, FromQuery, Optional, Required } from '../validation/input-fields.js';
import { IsMetadata } from '../validation/maps.js';
import { IsListOfInputs, IsOneOf, IsText } from '../validation/rules.js';
import { McpServer } from '../agents.js';
import type { Coverage } from './coverage.js';
import type { Credential } from './credentials.js';
import { IsVaultIds, VaultChoice } from './vault-choice.js';

export * from './coverage.js';
export * from './vault-choice.js';

export const VAULT_STATUSES = ['active', 'archived'] as const;
export type VaultStatus = (typeof VAULT_STATUSES)[number];

/** Metadata key that binds a vault to an end user. */
export const EXTERNAL_USER_KEY = 'external_user_id';

export class ListVaults {
  @Optional()
  @FromQuery()
  @IsOneOf(VAULT_STATUSES)
  status?: VaultStatus;
}

export class CreateVault {
  @Required({ trim: true })
  @IsText({ min: 1, max: 200 })
  name!: string;

  @Optional({ trim: true, blank: 'null', nil: 'kept' })
  @IsText({ max: 500 })
  description?: string | null;

  @Optional({ nil: 'refused' })
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class VaultRef {
  /** A malformed id is a vault that does not exist. */
  @FromPath()
  vaultId!: string;
}

/** What is absent stays as it is. */
export class UpdateVault extends VaultRef {
  @Optional({ trim: true, nil: 'refused' })
  @IsText({ min: 1, max: 200 })
  name?: string;

  @Optional({ trim: true, blank: 'null', nil: 'kept' })
  @IsText({ max: 500 })
  description?: string | null;

  @Optional({ nil: 'refused' })
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class DeleteVault extends VaultRef {
  /** `true`: an archived vault goes for good. */
  @Optional()
  @FromQuery()
  @IsOneOf(['true', 'false'])
  force?: 'true' | 'false';
}

export interface Vault {
  readonly id: string;
  readonly teamId: string;
  readonly name: string;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly isDefault: boolean;
  readonly status: VaultStatus;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly archivedAt: string | null;
  /** Archived ones included, latest `updatedAt` first. */
  readonly credentials: readonly Credential[];
}

export interface ServerSuggestion {
  readonly name: string;
  readonly url: string;
}

export interface VaultList {
  readonly vaults: readonly Vault[];
  readonly suggestions: readonly ServerSuggestion[];
}

/** An agent that declares servers, and whether this vault has a credential for each. */
export interface VaultAgent {
  readonly id: string;
  readonly name: string;
  readonly slug: string;
  readonly activeVersion: number;
  readonly servers: readonly {
    readonly name: string;
    readonly url: string;
    readonly status: 'ready' | 'missing_credential';
    readonly credentialId: string | null;
    readonly credentialName: string | null;
  }[];
}

export interface VaultDetail extends Vault {
  readonly vault: Vault;
  readonly agents: readonly VaultAgent[];
  /** Hosts, sorted, each once. */
  readonly coverage: { readonly active: readonly string[]; readonly missing: readonly string[] };
  readonly suggestions: readonly ServerSuggestion[];
}

/** What a run, or a dry run, is looked up by. */
export class ResolveVaults extends VaultChoice {
  /** Of the agent's definition. */
  @Required()
  @IsVaultIds()
  agentVaultIds!: string[];

  /** The agent's declared servers, in declaration order. */
  @Required()
  @IsListOfInputs(50, () => McpServer)
  servers!: McpServer[];
}

export const vaultsRpc = rpcContract('vault', 'vaults', {
  list: rpc(ListVaults).returns<VaultList>(),
  create: rpc(CreateVault).returns<Vault>(),
  /** Asks the sandbox service which agents declare servers. */
  get: rpc(VaultRef).returns<VaultDetail>().throws('not_found', 'sandbox_error').within(10_000),
  update: rpc(UpdateVault).returns<Vault>().throws('not_found'),
  delete: rpc(DeleteVault).returns<void>().throws('not_found', 'conflict'),
  setDefault: rpc(VaultRef).returns<void>().throws('not_found'),
  resolve: rpc(ResolveVaults).returns<Coverage>().throws('not_found'),
});
