import type { AuthType, InjectRule } from '@gatehouse/contracts';
import { type Database, Prisma } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import type { Envelope } from '@gatehouse/sealing';
import { Injectable } from '@nestjs/common';
import type { SecretColumns, SecretPlace } from '../secrets/credential-secret.js';
import { patternsFor } from './host-match.js';

/** An active credential as a release needs it. */
export interface ReleasableRow extends SecretPlace, SecretColumns {
  readonly inject: InjectRule;
  readonly authType: AuthType;
  readonly lastError: string | null;
  /** A refresh failed so lately that nobody asks the token endpoint again yet. */
  readonly coolingDown: boolean;
  /** A refresh succeeded so lately that another would bring nothing newer. */
  readonly justRefreshed: boolean;
}

/** What became of a credential since it was last written down. Times are milliseconds ago: processes' clocks differ. */
export interface Touch {
  readonly id: string;
  readonly resolvedMsAgo: number | null;
  /** The last success (`error` null) or failure of one version of its secret. */
  readonly outcome: { readonly secretVersion: number; readonly error: string | null; readonly msAgo: number } | null;
}

type CredentialKey = Pick<ReleasableRow, 'teamId' | 'id'>;
/** One version of the secret of a credential. */
type SecretKey = Pick<ReleasableRow, 'teamId' | 'id' | 'secretVersion'>;

const COLUMNS = Prisma.raw(`
  id, vault_id AS "vaultId", team_id AS "teamId", server_url_normalized AS "serverUrlNormalized", inject, auth_type AS "authType", last_error AS "lastError",
  coalesce(refresh_not_before > clock_timestamp(), false) AS "coolingDown", coalesce(token_new_until > clock_timestamp(), false) AS "justRefreshed", secret_version AS "secretVersion", key_id AS "keyId", wrapped_dek AS "wrappedDek", nonce, ciphertext`);

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
  async find({ teamId, id }: CredentialKey): Promise<ReleasableRow | null> {
    const [row] = await this.database.$queryRaw<ReleasableRow[]>`
      SELECT ${COLUMNS} FROM vault.credentials WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active'`;
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
  async leaseRefresh({ teamId, id, secretVersion }: SecretKey, owner: string, leaseMs: number): Promise<boolean> {
    const taken = await this.database.$executeRaw`
      UPDATE vault.credentials SET refresh_owner = ${owner}::uuid, refresh_until = clock_timestamp() + make_interval(secs => ${leaseMs / 1_000}::float8)
      WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active' AND secret_version = ${secretVersion}
        AND (refresh_until IS NULL OR refresh_until < clock_timestamp()) AND (refresh_not_before IS NULL OR refresh_not_before < clock_timestamp())`;
    return taken === 1;
  }

  async extendLease({ teamId, id, secretVersion }: SecretKey, owner: string, leaseMs: number): Promise<void> {
    await this.database.$executeRaw`
      UPDATE vault.credentials SET refresh_until = clock_timestamp() + make_interval(secs => ${leaseMs / 1_000}::float8)
      WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active' AND secret_version = ${secretVersion} AND refresh_owner = ${owner}::uuid`;
  }

  /**
   * Keeps new tokens as the next version of the secret, whoever holds the lease by now: the endpoint may have voided the old
   * ones. True also when an earlier attempt did it whose answer was lost; false when the secret was changed or destroyed: that counts.
   */
  async keepRefreshed({ teamId, id, secretVersion }: SecretKey, { keyId, wrappedDek, nonce, ciphertext }: Envelope, newForMs: number): Promise<boolean> {
    const [row] = await this.database.$queryRaw<{ kept: boolean }[]>`
      WITH kept AS (
        UPDATE vault.credentials SET secret_version = ${secretVersion}, key_id = ${keyId}, wrapped_dek = ${wrappedDek}, nonce = ${nonce}, ciphertext = ${ciphertext},
          last_error = NULL, last_outcome_at = clock_timestamp(), refresh_owner = NULL, refresh_until = NULL, refresh_not_before = NULL,
          token_new_until = clock_timestamp() + make_interval(secs => ${newForMs / 1_000}::float8), updated_at = clock_timestamp()
        WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active' AND secret_version = ${secretVersion - 1} RETURNING id
      )
      SELECT EXISTS (SELECT FROM kept) OR EXISTS (SELECT FROM vault.credentials WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND nonce = ${nonce}) AS kept`;
    return row?.kept === true;
  }

  async keepRefreshFailure({ teamId, id, secretVersion }: SecretKey, owner: string, error: string, retryMs: number): Promise<void> {
    await this.database.$executeRaw`
      UPDATE vault.credentials SET last_error = ${error}, last_outcome_at = clock_timestamp(), refresh_owner = NULL, refresh_until = NULL,
        refresh_not_before = clock_timestamp() + make_interval(secs => ${retryMs / 1_000}::float8)
      WHERE id = ${id}::uuid AND team_id = ${teamId}::uuid AND status = 'active' AND refresh_owner = ${owner}::uuid AND secret_version = ${secretVersion}`;
  }

  /**
   * Writes many down at once. Rows somebody else is changing are passed over, so that this never waits.
   * @returns ids that were written or are gone; the others are for the next time
   */
  async touch(touches: readonly Touch[]): Promise<ReadonlySet<string>> {
    const ids = touches.map(({ id }) => id);
    const rows = await this.database.$queryRaw<{ id: string }[]>`
      WITH touch AS (
        SELECT id, clock_timestamp() - make_interval(secs => resolved_ms / 1000) AS resolved_at, version, error, clock_timestamp() - make_interval(secs => outcome_ms / 1000) AS outcome_at
        FROM unnest(${ids}::uuid[], ${touches.map(({ resolvedMsAgo }) => resolvedMsAgo)}::float8[], ${touches.map(({ outcome }) => outcome?.secretVersion ?? null)}::int[],
          ${touches.map(({ outcome }) => outcome?.error ?? null)}::text[], ${touches.map(({ outcome }) => outcome?.msAgo ?? null)}::float8[]) AS told (id, resolved_ms, version, error, outcome_ms)
      ), free AS (
        SELECT id, secret_version = touch.version AND touch.outcome_at > coalesce(last_outcome_at, '-infinity') AS news
        FROM vault.credentials JOIN touch USING (id) FOR UPDATE OF credentials SKIP LOCKED
      ), written AS (
        UPDATE vault.credentials SET
          last_resolved_at = greatest(last_resolved_at, touch.resolved_at),
          last_error = CASE WHEN free.news THEN touch.error ELSE last_error END,
          last_outcome_at = CASE WHEN free.news THEN touch.outcome_at ELSE last_outcome_at END
        FROM touch JOIN free USING (id) WHERE credentials.id = touch.id AND status = 'active'
      )
      SELECT id FROM unnest(${ids}::uuid[]) AS given (id)
      WHERE EXISTS (SELECT FROM free WHERE free.id = given.id) OR NOT EXISTS (SELECT FROM vault.credentials WHERE credentials.id = given.id)`;
    return new Set(rows.map(({ id }) => id));
  }
}
