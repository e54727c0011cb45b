import type { Database } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import { Injectable } from '@nestjs/common';

export interface WrappedRow {
  readonly id: string;
  readonly keyId: string;
  readonly wrappedDek: Uint8Array;
}

export interface Rewrapped {
  readonly id: string;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

@Injectable()
export class KeyRotationStore {
  constructor(@InjectDatabase() private readonly database: Database) {}

  /** How many secrets each key wraps. */
  async countByKey(): Promise<Record<string, number>> {
    const rows = await this.database.$queryRaw<{ keyId: string; count: number }[]>`
      SELECT key_id AS "keyId", count(*)::int AS count FROM vault.credentials WHERE key_id IS NOT NULL GROUP BY key_id`;
    return Object.fromEntries(rows.map(({ keyId, count }) => [keyId, count]));
  }

  /** Secrets that another key wraps, by id. */
  wrappedByOthers(currentKeyId: string, afterId: string, count: number): Promise<WrappedRow[]> {
    return this.database.$queryRaw<WrappedRow[]>`
      SELECT id, key_id AS "keyId", wrapped_dek AS "wrappedDek" FROM vault.credentials
      WHERE key_id <> ${currentKeyId} AND wrapped_dek IS NOT NULL AND id > ${afterId}::uuid ORDER BY id LIMIT ${count}`;
  }

  /** Of these secrets, those that another key still wraps. */
  stillWrappedByOthers(currentKeyId: string, ids: readonly string[]): Promise<WrappedRow[]> {
    return this.database.$queryRaw<WrappedRow[]>`
      SELECT id, key_id AS "keyId", wrapped_dek AS "wrappedDek" FROM vault.credentials
      WHERE id = ANY(${ids}::uuid[]) AND key_id <> ${currentKeyId} AND wrapped_dek IS NOT NULL`;
  }

  /**
   * Puts the newly wrapped keys in place of those that were read. A row that was changed since, or is being changed, stays
   * as it is: nothing waits for a rotation, and nothing is overwritten by it.
   * @returns the ids of those that were replaced
   */
  async rewrap(currentKeyId: string, rows: readonly Rewrapped[]): Promise<ReadonlySet<string>> {
    const ids = rows.map(({ id }) => id);
    const replaced = await this.database.$queryRaw<{ id: string }[]>`
      WITH free AS (
        SELECT id FROM vault.credentials WHERE id = ANY(${ids}::uuid[]) FOR UPDATE SKIP LOCKED
      )
      UPDATE vault.credentials SET key_id = ${currentKeyId}, wrapped_dek = rewrapped.after
      FROM unnest(${ids}::uuid[], ${rows.map(({ before }) => before)}::bytea[], ${rows.map(({ after }) => after)}::bytea[]) AS rewrapped (id, before, after) JOIN free USING (id)
      WHERE credentials.id = rewrapped.id AND credentials.wrapped_dek = rewrapped.before
      RETURNING credentials.id`;
    return new Set(replaced.map(({ id }) => id));
  }
}
