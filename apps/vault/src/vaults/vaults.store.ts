import { EXTERNAL_USER_KEY, VAULTS_OF_RUN_MAX, type VaultStatus } from '@gatehouse/contracts';
import { type Database, inTransaction, Prisma } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import { Injectable } from '@nestjs/common';
import { type AuditAction, type AuditEvent, recordAll, recordIfChanged } from '../audit/audit-event.js';
import { ARCHIVED, CREDENTIAL_COLUMNS, type CredentialRow } from '../credentials/credential-row.js';
import { urlHash } from '../credentials/credentials.store.js';
import type { CoveringCredential } from './coverage.js';
import type { UsableVault, VaultRequest } from './resolve-vaults.js';

export interface VaultRow {
  readonly id: string;
  readonly teamId: string;
  readonly name: string;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly isDefault: boolean;
  readonly status: VaultStatus;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly archivedAt: Date | null;
}

export interface VaultChange {
  readonly name?: string | undefined;
  readonly description?: string | null | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

const COLUMNS = Prisma.raw(`
  id, team_id AS "teamId", name, description, metadata, is_default AS "isDefault", status,
  created_at AS "createdAt", updated_at AS "updatedAt", archived_at AS "archivedAt"`);

@Injectable()
export class VaultsStore {
  constructor(@InjectDatabase() private readonly database: Database) {}

  /** The default first, then the latest change. */
  list(teamId: string, status: VaultStatus | undefined): Promise<VaultRow[]> {
    return this.database.$queryRaw<VaultRow[]>`
      SELECT ${COLUMNS} FROM vault.vaults
      WHERE team_id = ${teamId}::uuid ${status === undefined ? Prisma.empty : Prisma.sql`AND status = ${status}::vault.vault_status`}
      ORDER BY is_default DESC, updated_at DESC, id DESC`;
  }

  async find(teamId: string, id: string): Promise<VaultRow | null> {
    const [row] = await this.database.$queryRaw<VaultRow[]>`SELECT ${COLUMNS} FROM vault.vaults WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid`;
    return row ?? null;
  }

  /** All of these vaults, archived ones included, the latest change first. */
  credentialsOf(vaultIds: readonly string[]): Promise<CredentialRow[]> {
    return this.database.$queryRaw<CredentialRow[]>`
      SELECT ${CREDENTIAL_COLUMNS} FROM vault.credentials WHERE vault_id = ANY(${[...vaultIds]}::uuid[]) ORDER BY updated_at DESC, id DESC`;
  }

  async create({ id, teamId, name, description, metadata }: Pick<VaultRow, 'id' | 'teamId' | 'name' | 'description' | 'metadata'>, event: AuditEvent): Promise<VaultRow> {
    const [row] = await this.database.$queryRaw<VaultRow[]>`
      WITH changed AS (
        INSERT INTO vault.vaults (id, team_id, name, description, metadata, external_user_id, created_at, updated_at)
        VALUES (${id}::uuid, ${teamId}::uuid, ${name}, ${description}, ${JSON.stringify(metadata)}::jsonb, ${externalUserOf(metadata)}, clock_timestamp(), clock_timestamp())
        RETURNING *
      ), event AS (${recordIfChanged(event)})
      SELECT ${COLUMNS} FROM changed`;
    if (row === undefined) throw new Error('INSERT returned no row');
    return row;
  }

  /** One statement, so that parallel changes of different fields lose nothing. Null without such an active vault. */
  async update(teamId: string, id: string, change: VaultChange, event: AuditEvent): Promise<VaultRow | null> {
    const assignments = assignmentsOf(change);
    const [row] = assignments.length === 0
      ? await this.database.$queryRaw<VaultRow[]>`SELECT ${COLUMNS} FROM vault.vaults WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active'`
      : await this.database.$queryRaw<VaultRow[]>`
          WITH changed AS (
            UPDATE vault.vaults SET ${Prisma.join([...assignments, Prisma.sql`updated_at = clock_timestamp()`])}
            WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active' RETURNING *
          ), event AS (${recordIfChanged(event)})
          SELECT ${COLUMNS} FROM changed`;
    return row ?? null;
  }

  /** Archives the vault and all its credentials, whose secrets are destroyed. False without such an active vault. */
  archive(teamId: string, id: string, event: AuditEvent): Promise<boolean> {
    return inTransaction(this.database, async transaction => {
      const changed = await transaction.$queryRaw<object[]>`
        WITH changed AS (
          UPDATE vault.vaults SET status = 'archived', is_default = false, archived_at = clock_timestamp(), updated_at = clock_timestamp()
          WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active' RETURNING id
        ), event AS (${recordIfChanged(event)})
        SELECT id FROM changed`;
      if (changed.length === 0) return false;
      // A statement of its own: it sees the credential whose creator held the vault's row until now.
      const credentials = await transaction.$queryRaw<{ id: string }[]>`UPDATE vault.credentials SET ${ARCHIVED} WHERE vault_id = ${id}::uuid AND status = 'active' RETURNING id`;
      await transaction.$executeRaw(recordAll(withItsVault(event, 'credential.archived', credentials)));
      return true;
    });
  }

  /** Removes an archived vault with its credentials for good. */
  remove(teamId: string, id: string, event: AuditEvent): Promise<'removed' | 'missing' | 'active'> {
    return inTransaction(this.database, async transaction => {
      const [vault] = await transaction.$queryRaw<{ status: VaultStatus }[]>`SELECT status FROM vault.vaults WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid FOR UPDATE`;
      if (vault === undefined) return 'missing';
      if (vault.status === 'active') return 'active';
      const credentials = await transaction.$queryRaw<{ id: string }[]>`DELETE FROM vault.credentials WHERE vault_id = ${id}::uuid RETURNING id`;
      await transaction.$executeRaw`DELETE FROM vault.vaults WHERE id = ${id}::uuid`;
      await transaction.$executeRaw(recordAll([event, ...withItsVault(event, 'credential.deleted', credentials)]));
      return 'removed';
    });
  }

  /** Makes it the team's default instead of another. False without such an active vault: then nothing changes. */
  async setDefault(teamId: string, id: string, event: AuditEvent): Promise<boolean> {
    try {
      await inTransaction(this.database, async transaction => {
        // Those who choose take turns: between unsetting one and setting another nobody else may choose.
        await transaction.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`vault default ${teamId}`}, 0))`;
        const former = await transaction.$queryRaw<{ id: string }[]>`
          UPDATE vault.vaults SET is_default = false, updated_at = clock_timestamp() WHERE team_id = ${teamId}::uuid AND is_default AND id <> ${id}::uuid RETURNING id`;
        await transaction.$executeRaw(recordAll(former.map(vault => ({ ...event, action: 'vault.unset_default', vaultId: vault.id }))));
        const set = await transaction.$queryRaw<{ wasDefault: boolean }[]>`
          WITH before AS (
            SELECT id, is_default FROM vault.vaults WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active' FOR UPDATE
          ), changed AS (
            UPDATE vault.vaults SET is_default = true, updated_at = clock_timestamp() FROM before WHERE vaults.id = before.id AND NOT before.is_default RETURNING vaults.id
          ), event AS (${recordIfChanged(event)})
          SELECT is_default AS "wasDefault" FROM before`;
        if (set.length === 0) throw new NoSuchVault();
      });
      return true;
    } catch (error) {
      if (error instanceof NoSuchVault) return false;
      throw error;
    }
  }

  /** Every active vault a request could mean, in one look. Of an end user's only the oldest, one more than a run can have. */
  usable(teamId: string, { vaultIds = [], externalUserId, agentVaultIds }: VaultRequest): Promise<UsableVault[]> {
    const ids = [...vaultIds, ...agentVaultIds].map(id => id.toLowerCase());
    return this.database.$queryRaw<UsableVault[]>`
      SELECT id, external_user_id AS "externalUserId", is_default AS "isDefault", created_at AS "createdAt" FROM vault.vaults
      WHERE team_id = ${teamId}::uuid AND status = 'active'
        AND (is_default OR id = ANY(${ids}::uuid[]) ${externalUserId === undefined ? Prisma.empty : Prisma.sql`OR id IN (${oldestOf(teamId, externalUserId)})`})`;
  }

  /** Credentials in any of the vaults for any of the addresses, archived ones included. */
  async covering(vaultIds: readonly string[], serverUrlsNormalized: readonly string[]): Promise<CoveringCredential[]> {
    if (vaultIds.length === 0 || serverUrlsNormalized.length === 0) return [];
    return this.database.$queryRaw<CoveringCredential[]>`
      SELECT id, vault_id AS "vaultId", server_url_normalized AS "serverUrlNormalized", status FROM vault.credentials
      WHERE vault_id = ANY(${[...vaultIds]}::uuid[]) AND server_url_hash = ANY(${serverUrlsNormalized.map(urlHash)}::bytea[])`;
  }
}

const oldestOf = (teamId: string, externalUserId: string): Prisma.Sql => Prisma.sql`
  SELECT id FROM vault.vaults WHERE team_id = ${teamId}::uuid AND status = 'active' AND external_user_id = ${externalUserId} ORDER BY created_at, id LIMIT ${VAULTS_OF_RUN_MAX + 1}`;

/** What befalls credentials in consequence of an event of their vault, one event each. */
const withItsVault = (event: AuditEvent, action: AuditAction, credentials: readonly { readonly id: string }[]): AuditEvent[] =>
  credentials.map(({ id }) => ({ ...event, action, credentialId: id, detail: 'with its vault' }));

/** Undoes a transaction. */
class NoSuchVault extends Error {}

const externalUserOf = (metadata: Readonly<Record<string, string>>): string | null => (Object.hasOwn(metadata, EXTERNAL_USER_KEY) ? (metadata[EXTERNAL_USER_KEY] ?? null) : null);

const assignmentsOf = ({ name, description, metadata }: VaultChange): Prisma.Sql[] => [
  ...(name === undefined ? [] : [Prisma.sql`name = ${name}`]),
  ...(description === undefined ? [] : [Prisma.sql`description = ${description}`]),
  ...(metadata === undefined ? [] : [Prisma.sql`metadata = ${JSON.stringify(metadata)}::jsonb, external_user_id = ${externalUserOf(metadata)}`]),
];
