import { rpc, rpcContract } from '../rpc/contract.js';
import { FromPath, FromQuery, Optional, Required } from '../validation/input-fields.js';
import { IsMetadata } from '../validation/maps.js';
import { IsInputBy, IsOneOf, IsText, Rule } from '../validation/rules.js';
import { type AuthType, BearerAuth, type CredentialAuth, type CredentialAuthView, OauthAuth } from './credential-auth.js';
import { BasicInject, HeaderInject, type InjectRule, QueryInject } from './inject-rule.js';
import { serverUrl } from './normalise-url.js';
import { VaultRef, type VaultStatus } from './vaults.js';

/** Active credentials a vault can hold. */
export const CREDENTIALS_MAX = 20;

const IsServerUrl = () => Rule('serverUrl', serverUrl);
const IsAuth = () => IsInputBy('type', { bearer: BearerAuth, oauth: OauthAuth });
const IsInject = () => IsInputBy('kind', { header: HeaderInject, query: QueryInject, basic: BasicInject });

export class CreateCredential extends VaultRef {
  @Optional({ trim: true, blank: 'null', nil: 'kept' })
  @IsText({ max: 200 })
  name?: string | null;

  @Required({ trim: true, blank: 'missing' })
  @IsServerUrl()
  serverUrl!: string;

  @Required()
  @IsAuth()
  auth!: CredentialAuth;

  /** Null or absent: `Authorization: Bearer …`. */
  @Optional()
  @IsInject()
  inject?: InjectRule;

  @Optional({ nil: 'refused' })
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class CredentialRef extends VaultRef {
  /** A malformed id is a credential that does not exist. */
  @FromPath()
  credentialId!: string;
}

/** What is absent stays as it is; `auth` is replaced whole. */
export class UpdateCredential extends CredentialRef {
  @Optional({ trim: true, blank: 'null', nil: 'kept' })
  @IsText({ max: 200 })
  name?: string | null;

  /** Another spelling of the same address. */
  @Optional({ trim: true, nil: 'refused' })
  @IsServerUrl()
  serverUrl?: string;

  @Optional({ nil: 'refused' })
  @IsAuth()
  auth?: CredentialAuth;

  /** Null: the default rule again. */
  @Optional({ nil: 'kept' })
  @IsInject()
  inject?: InjectRule | null;

  @Optional({ nil: 'refused' })
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class DeleteCredential extends CredentialRef {
  /** `true`: an archived credential goes for good. */
  @Optional()
  @FromQuery()
  @IsOneOf(['true', 'false'])
  force?: 'true' | 'false';
}

export interface Credential {
  readonly id: string;
  readonly vaultId: string;
  readonly name: string | null;
  readonly serverUrl: string;
  readonly serverUrlNormalized: string;
  readonly hostPattern: string;
  readonly inject: InjectRule;
  readonly authType: AuthType;
  readonly auth: CredentialAuthView;
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: VaultStatus;
  readonly lastError: string | null;
  readonly lastResolvedAt: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly archivedAt: string | null;
}

export const credentialsRpc = rpcContract('vault', 'credentials', {
  create: rpc(CreateCredential).returns<Credential>().throws('not_found', 'conflict', 'credential_cap_exceeded').sealing('auth'),
  update: rpc(UpdateCredential).returns<Credential>().throws('not_found', 'conflict', 'validation_error').sealing('auth'),
  delete: rpc(DeleteCredential).returns<void>().throws('not_found', 'conflict'),
});
