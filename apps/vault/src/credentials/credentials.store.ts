import { createHash } from 'node:crypto';
import { CREDENTIALS_MAX, type InjectRule } from '@gatehouse/contracts';
import { type Database, inTransaction, Prisma, type Transaction } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import type { Envelope } from '@gatehouse/sealing';
import { Injectable } from '@nestjs/common';
import { type AuditEvent, recordIfChanged } from '../audit/audit-event.js';
import { ARCHIVED, CREDENTIAL_COLUMNS, type CredentialRow } from './credential-row.js';

export type NewCredential = Pick<CredentialRow, 'id' | 'teamId' | 'vaultId' | 'name' | 'serverUrl' | 'serverUrlNormalized' | 'hostPattern' | 'inject' | 'authType' | 'metadata' | 'secretVersion'>;

export interface CredentialChange {
  readonly name?: string | null | undefined;
  readonly serverUrl?: string | undefined;
  readonly inject?: InjectRule | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Given with its new version and envelope. */
  readonly secret?: { readonly authType: CredentialRow['authType']; readonly secretVersion: number; readonly envelope: Envelope } | undefined;
}

/** What an address is unique by: it may be longer than an index entry can be. */
export const urlHash = (serverUrlNormalized: string): Buffer => createHash('sha256').update(serverUrlNormalized).digest();

@Injectable()
export class CredentialsStore {
  constructor(@InjectDatabase() private readonly database: Database) {}

  /** Creators of one vault take turns at its row, so that both limits hold however many they are. */
  create(credential: NewCredential, { keyId, wrappedDek, nonce, ciphertext }: Envelope, event: AuditEvent): Promise<CredentialRow | 'vault-missing' | 'duplicate' | 'full'> {
    const { id, teamId, vaultId, name, serverUrl, serverUrlNormalized, hostPattern, inject, authType, metadata, secretVersion } = credential;
    const hash = urlHash(serverUrlNormalized);
    return inTransaction(this.database, async transaction => {
      const [vault] = await transaction.$queryRaw<object[]>`SELECT id FROM vault.vaults WHERE id = ${vaultId}::uuid AND team_id = ${teamId}::uuid AND status = 'active' FOR UPDATE`;
      if (vault === undefined) return 'vault-missing';
      const [held] = await transaction.$queryRaw<{ count: number; duplicate: boolean }[]>`
        SELECT count(*)::int AS count, coalesce(bool_or(server_url_hash = ${hash}), false) AS duplicate FROM vault.credentials WHERE vault_id = ${vaultId}::uuid AND status = 'active'`;
      if (held?.duplicate === true) return 'duplicate';
      if (held === undefined || held.count >= CREDENTIALS_MAX) return 'full';
      const [row] = await transaction.$queryRaw<CredentialRow[]>`
        WITH changed AS (
          INSERT INTO vault.credentials (id, vault_id, team_id, name, server_url, server_url_normalized, server_url_hash, host_pattern, inject, auth_type, metadata,
            secret_version, key_id, wrapped_dek, nonce, ciphertext, created_at, updated_at)
          VALUES (${id}::uuid, ${vaultId}::uuid, ${teamId}::uuid, ${name}, ${serverUrl}, ${serverUrlNormalized}, ${hash}, ${hostPattern}, ${JSON.stringify(inject)}::jsonb,
            ${authType}::vault.auth_type, ${JSON.stringify(metadata)}::jsonb, ${secretVersion}, ${keyId}, ${wrappedDek}, ${nonce}, ${ciphertext}, clock_timestamp(), clock_timestamp())
          RETURNING *
        ), event AS (${recordIfChanged(event)})
        SELECT ${CREDENTIAL_COLUMNS} FROM changed`;
      if (row === undefined) throw new Error('INSERT returned no row');
      return row;
    });
  }

  /**
   * Changes an active credential of an active vault. `change` decides while the row is locked, so that no two changes undo
   * each other; what it throws leaves everything as it was.
   */
  update(teamId: string, vaultId: string, id: string, change: (row: CredentialRow, others: OtherCredentials) => Promise<CredentialChange>, event: AuditEvent): Promise<CredentialRow | 'vault-missing' | 'missing'> {
    return inTransaction(this.database, async transaction => {
      if (!(await isActiveVault(transaction, teamId, vaultId))) return 'vault-missing';
      const [row] = await transaction.$queryRaw<CredentialRow[]>`
        SELECT ${CREDENTIAL_COLUMNS} FROM vault.credentials WHERE id = ${id}::uuid AND vault_id = ${vaultId}::uuid AND status = 'active' FOR UPDATE`;
      if (row === undefined) return 'missing';
      const others: OtherCredentials = {
        haveUrl: async normalized => {
          const found = await transaction.$queryRaw<object[]>`
            SELECT id FROM vault.credentials WHERE vault_id = ${vaultId}::uuid AND status = 'active' AND server_url_hash = ${urlHash(normalized)} AND id <> ${id}::uuid`;
          return found.length > 0;
        },
      };
      const assignments = assignmentsOf(await change(row, others));
      if (assignments.length === 0) return row;
      const [changed] = await transaction.$queryRaw<CredentialRow[]>`
        WITH changed AS (
          UPDATE vault.credentials SET ${Prisma.join([...assignments, Prisma.sql`updated_at = clock_timestamp()`])} WHERE id = ${id}::uuid RETURNING *
        ), event AS (${recordIfChanged(event)})
        SELECT ${CREDENTIAL_COLUMNS} FROM changed`;
      return changed ?? 'missing';
    });
  }

  /** Archives; the secret is destroyed in the same statement. False when there is no such active credential. */
  async archive(teamId: string, vaultId: string, id: string, event: AuditEvent): Promise<boolean> {
    const rows = await this.database.$queryRaw<object[]>`
      WITH changed AS (
        UPDATE vault.credentials SET ${ARCHIVED} WHERE id = ${id}::uuid AND vault_id = ${vaultId}::uuid AND team_id = ${teamId}::uuid AND status = 'active' RETURNING id
      ), event AS (${recordIfChanged(event)})
      SELECT id FROM changed`;
    return rows.length > 0;
  }

  /** Removes an archived credential for good. */
  async remove(teamId: string, vaultId: string, id: string, event: AuditEvent): Promise<'removed' | 'missing' | 'active'> {
    const mine = Prisma.sql`id = ${id}::uuid AND vault_id = ${vaultId}::uuid AND team_id = ${teamId}::uuid`;
    const [row] = await this.database.$queryRaw<{ removed: boolean; active: boolean }[]>`
      WITH changed AS (
        DELETE FROM vault.credentials WHERE ${mine} AND status = 'archived' RETURNING id
      ), event AS (${recordIfChanged(event)})
      SELECT EXISTS (SELECT FROM changed) AS removed, EXISTS (SELECT FROM vault.credentials WHERE ${mine} AND status = 'active') AS active`;
    return row?.removed === true ? 'removed' : row?.active === true ? 'active' : 'missing';
  }

  async vaultExists(teamId: string, vaultId: string, vaults: 'active' | 'any'): Promise<boolean> {
    const found = await this.database.$queryRaw<object[]>`
      SELECT id FROM vault.vaults WHERE id = ${vaultId}::uuid AND team_id = ${teamId}::uuid ${vaults === 'active' ? Prisma.sql`AND status = 'active'` : Prisma.empty}`;
    return found.length > 0;
  }
}

/** What a change may want to know of the vault's other active credentials. */
export interface OtherCredentials {
  haveUrl(serverUrlNormalized: string): Promise<boolean>;
}

const isActiveVault = async (transaction: Transaction, teamId: string, vaultId: string): Promise<boolean> => {
  const found = await transaction.$queryRaw<object[]>`SELECT id FROM vault.vaults WHERE id = ${vaultId}::uuid AND team_id = ${teamId}::uuid AND status = 'active'`;
  return found.length > 0;
};

const assignmentsOf = ({ name, serverUrl, inject, metadata, secret }: CredentialChange): Prisma.Sql[] => [
  ...(name === undefined ? [] : [Prisma.sql`name = ${name}`]),
  ...(serverUrl === undefined ? [] : [Prisma.sql`server_url = ${serverUrl}`]),
  ...(inject === undefined ? [] : [Prisma.sql`inject = ${JSON.stringify(inject)}::jsonb`]),
  ...(metadata === undefined ? [] : [Prisma.sql`metadata = ${JSON.stringify(metadata)}::jsonb`]),
  ...(secret === undefined ? [] : secretAssignments(secret)),
];

/** A new secret owes nothing to the failures of the old one. */
const secretAssignments = ({ authType, secretVersion, envelope: { keyId, wrappedDek, nonce, ciphertext } }: NonNullable<CredentialChange['secret']>): Prisma.Sql[] => [
  Prisma.sql`auth_type = ${authType}::vault.auth_type`,
  Prisma.sql`secret_version = ${secretVersion}`,
  Prisma.sql`key_id = ${keyId}`,
  Prisma.sql`wrapped_dek = ${wrappedDek}`,
  Prisma.sql`nonce = ${nonce}`,
  Prisma.sql`ciphertext = ${ciphertext}`,
  Prisma.sql`last_error = NULL, last_outcome_at = clock_timestamp(), refresh_owner = NULL, refresh_until = NULL, refresh_not_before = NULL, token_new_until = NULL`,
];
