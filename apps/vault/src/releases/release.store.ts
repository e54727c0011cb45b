import type { AuthType, InjectRule } from '@gatehouse/contracts';
import { type Database, Prisma } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import type { Envelope } from '@gatehouse/sealing';
import { Injectable } from '@nestjs/common';
import type { SecretColumns, SecretPlace } from '../secrets/credential-secret.js';
import { patternsFor } from './match-credential.js';

/** An active credential as a release needs it. */
export interface ReleasableRow extends SecretPlace, SecretColumns {
  readonly inject: InjectRule;
  readonly authType: AuthType;
  readonly lastError: string | null;
  /** Until then nobody asks the token endpoint again. */
  readonly refreshNotBefore: Date | null;
}

/** What became of a credential since it was last written down. */
export interface Touch {
  readonly id: string;
  readonly resolvedAt: Date | null;
  /** Errors from before are over. */
  readonly clearedAt: Date | null;
  readonly error: string | null;
  readonly errorAt: Date | null;
}

const COLUMNS = Prisma.raw(`
  id, vault_id AS "vaultId", team_id AS "teamId", server_url_normalized AS "serverUrlNormalized", inject, auth_type AS "authType", last_error AS "lastError",
  refresh_not_before AS "refreshNotBefore", secret_version AS "secretVersion", key_id AS "keyId", wrapped_dek AS "wrappedDek", nonce, ciphertext`);

@Injectable()
export class ReleaseStore {
  constructor(@InjectDatabase() private readonly database: Database) {}

  /** Active credentials of the vaults that may be for that host. */
  candidates(teamId: string, vaultIds: readonly string[], host: string): Promise<ReleasableRow[]> {
    return this.database.$queryRaw<ReleasableRow[]>`
      SELECT ${COLUMNS} FROM vault.credentials
      WHERE vault_id = ANY(${[...vaultIds]}::uuid[]) AND status = 'active' AND team_id = ${teamId}::uuid AND host_pattern = ANY(${patternsFor(host)}::text[])`;
  }

  /** Null once it is archived or gone. */
  async find(id: string): Promise<ReleasableRow | null> {
    const [row] = await this.database.$queryRaw<ReleasableRow[]>`SELECT ${COLUMNS} FROM vault.credentials WHERE id = ${id}::uuid AND status = 'active'`;
    return row ?? null;
  }

  /** An active credential of one of these vaults. */
  async isAmong(teamId: string, vaultIds: readonly string[], id: string): Promise<boolean> {
    const found = await this.database.$queryRaw<object[]>`
      SELECT id FROM vault.credentials WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND vault_id = ANY(${[...vaultIds]}::uuid[]) AND status = 'active'`;
    return found.length > 0;
  }

  /**
   * The right to ask the token endpoint for one version of a secret. A lease: if its holder dies, the next one takes over.
   * False while another holds it, after a failure that is too fresh, or when the secret has changed.
   */
  async leaseRefresh(id: string, secretVersion: number, owner: string, leaseMs: number): Promise<boolean> {
    const taken = await this.database.$executeRaw`
      UPDATE vault.credentials SET refresh_owner = ${owner}::uuid, refresh_until = clock_timestamp() + make_interval(secs => ${leaseMs / 1_000}::float8)
      WHERE id = ${id}::uuid AND status = 'active' AND secret_version = ${secretVersion}
        AND (refresh_until IS NULL OR refresh_until < clock_timestamp()) AND (refresh_not_before IS NULL OR refresh_not_before < clock_timestamp())`;
    return taken === 1;
  }

  /** Keeps the new tokens and gives the lease back. False when the credential was changed or archived meanwhile: that counts. */
  async keepRefreshed(id: string, owner: string, secretVersion: number, { keyId, wrappedDek, nonce, ciphertext }: Envelope): Promise<boolean> {
    const kept = await this.database.$executeRaw`
      UPDATE vault.credentials SET secret_version = ${secretVersion}, key_id = ${keyId}, wrapped_dek = ${wrappedDek}, nonce = ${nonce}, ciphertext = ${ciphertext},
        last_error = NULL, last_error_at = NULL, refresh_owner = NULL, refresh_until = NULL, refresh_not_before = NULL, updated_at = clock_timestamp()
      WHERE id = ${id}::uuid AND status = 'active' AND refresh_owner = ${owner}::uuid AND secret_version = ${secretVersion - 1}`;
    return kept === 1;
  }

  async keepRefreshFailure(id: string, owner: string, error: string, retryMs: number): Promise<void> {
    await this.database.$executeRaw`
      UPDATE vault.credentials SET last_error = ${error}, last_error_at = clock_timestamp(), refresh_owner = NULL, refresh_until = NULL,
        refresh_not_before = clock_timestamp() + make_interval(secs => ${retryMs / 1_000}::float8)
      WHERE id = ${id}::uuid AND status = 'active' AND refresh_owner = ${owner}::uuid`;
  }

  /**
   * Writes many down at once. Rows somebody else is changing are passed over, so that this never waits.
   * @returns ids that were written or are gone; the others are for the next time
   */
  async touch(touches: readonly Touch[]): Promise<ReadonlySet<string>> {
    const ids = touches.map(({ id }) => id);
    const rows = await this.database.$queryRaw<{ id: string }[]>`
      WITH touch AS (
        SELECT * FROM unnest(${ids}::uuid[], ${touches.map(({ resolvedAt }) => resolvedAt)}::timestamptz[], ${touches.map(({ clearedAt }) => clearedAt)}::timestamptz[],
          ${touches.map(({ error }) => error)}::text[], ${touches.map(({ errorAt }) => errorAt)}::timestamptz[]) AS touch (id, resolved_at, cleared_at, error, error_at)
      ), free AS (
        SELECT id FROM vault.credentials WHERE id = ANY(${ids}::uuid[]) FOR UPDATE SKIP LOCKED
      ), written AS (
        UPDATE vault.credentials SET
          last_resolved_at = greatest(last_resolved_at, touch.resolved_at),
          last_error = CASE WHEN touch.error_at > coalesce(last_error_at, '-infinity') THEN touch.error WHEN touch.cleared_at > coalesce(last_error_at, '-infinity') THEN NULL ELSE last_error END,
          last_error_at = CASE WHEN touch.error_at > coalesce(last_error_at, '-infinity') THEN touch.error_at WHEN touch.cleared_at > coalesce(last_error_at, '-infinity') THEN NULL ELSE last_error_at END
        FROM touch JOIN free USING (id) WHERE credentials.id = touch.id AND status = 'active' RETURNING credentials.id
      )
      SELECT id FROM unnest(${ids}::uuid[]) AS given (id)
      WHERE EXISTS (SELECT FROM free WHERE free.id = given.id) OR NOT EXISTS (SELECT FROM vault.credentials WHERE credentials.id = given.id)`;
    return new Set(rows.map(({ id }) => id));
  }
}
