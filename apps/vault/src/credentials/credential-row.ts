import type { AuthType, InjectRule, VaultStatus } from '@gatehouse/contracts';
import { Prisma } from '@gatehouse/database';
import type { SecretColumns, SecretPlace } from '../secrets/credential-secret.js';

export interface CredentialRow extends SecretPlace, SecretColumns {
  readonly name: string | null;
  /** As given. */
  readonly serverUrl: string;
  readonly hostPattern: string;
  readonly inject: InjectRule;
  readonly authType: AuthType;
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: VaultStatus;
  readonly lastError: string | null;
  readonly lastResolvedAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly archivedAt: Date | null;
}

export const CREDENTIAL_COLUMNS = Prisma.raw(`
  id, vault_id AS "vaultId", team_id AS "teamId", name, server_url AS "serverUrl", server_url_normalized AS "serverUrlNormalized",
  host_pattern AS "hostPattern", inject, auth_type AS "authType", metadata, status, last_error AS "lastError",
  last_resolved_at AS "lastResolvedAt", secret_version AS "secretVersion", key_id AS "keyId", wrapped_dek AS "wrappedDek", nonce, ciphertext,
  created_at AS "createdAt", updated_at AS "updatedAt", archived_at AS "archivedAt"`);

/** What archiving sets. The secret is destroyed in the same statement. */
export const ARCHIVED = Prisma.raw(`
  status = 'archived', archived_at = clock_timestamp(), updated_at = clock_timestamp(), key_id = NULL, wrapped_dek = NULL, nonce = NULL, ciphertext = NULL,
  refresh_owner = NULL, refresh_until = NULL, refresh_not_before = NULL, token_new_until = NULL`);
