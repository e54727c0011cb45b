import { isUuid } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import { Injectable } from '@nestjs/common';
import { named, type SandboxScope, threadsVisibleTo, visibleTo, WITH_AGENT } from '../sandboxes/sandbox-scope.js';
import { joinThreads, THREAD_AS_JSON } from './join-threads.js';
import type { ThreadRow } from './thread-view.js';

export interface NewThread {
  readonly id: string;
  readonly createdAt: Date;
  readonly name: string | null;
  readonly externalUserId: string | null;
}

/**
 * Rows of threads. What reads by a sandbox's public id answers one row per sandbox of that id, at most two, which is enough to
 * know that it is ambiguous.
 */
@Injectable()
export class ThreadsStore {
  constructor(@InjectDatabase() private readonly database: Database) {}

  /** Newest first, no more than are shown. */
  list(scope: SandboxScope, sandboxId: string, agent: string | undefined): Promise<{ threads: readonly ThreadRow[] }[]> {
    return this.database.$queryRaw`
      SELECT threads.list AS threads FROM ${WITH_AGENT} ${joinThreads(scope)}
      WHERE ${visibleTo(scope)} AND ${named(sandboxId, agent)} LIMIT 2`;
  }

  /** `thread` is null where the sandbox has no such thread, or none the caller may see. */
  find(scope: SandboxScope, sandboxId: string, agent: string | undefined, threadId: string): Promise<{ sandboxRowId: string; thread: ThreadRow | null }[]> {
    return this.database.$queryRaw`
      SELECT sandboxes.id AS "sandboxRowId", CASE WHEN threads.id IS NOT NULL THEN ${THREAD_AS_JSON} END AS thread
      FROM ${WITH_AGENT} LEFT JOIN sandbox.threads
        ON threads.sandbox_row_id = sandboxes.id AND threads.id = ${isUuid(threadId) ? threadId : null}::uuid AND ${threadsVisibleTo(scope)}
      WHERE ${visibleTo(scope)} AND ${named(sandboxId, agent)} LIMIT 2`;
  }

  sandboxes(scope: SandboxScope, sandboxId: string, agent: string | undefined): Promise<{ sandboxRowId: string }[]> {
    return this.database.$queryRaw`SELECT sandboxes.id AS "sandboxRowId" FROM ${WITH_AGENT} WHERE ${visibleTo(scope)} AND ${named(sandboxId, agent)} LIMIT 2`;
  }

  /** @returns null when the sandbox is gone */
  async create(sandboxRowId: string, { id, createdAt, name, externalUserId }: NewThread): Promise<ThreadRow | null> {
    // Locks the sandbox's row against its deletion, which must see this thread or come before it.
    const [made] = await this.database.$queryRaw<{ thread: ThreadRow }[]>`
      INSERT INTO sandbox.threads (id, sandbox_row_id, name, external_user_id, created_at, updated_at)
      SELECT ${id}::uuid, sandboxes.id, ${name}::text, ${externalUserId}::text, ${createdAt}::timestamptz, ${createdAt}::timestamptz
      FROM sandbox.sandboxes WHERE sandboxes.id = ${sandboxRowId}::uuid FOR KEY SHARE
      RETURNING ${THREAD_AS_JSON} AS thread`;
    return made?.thread ?? null;
  }

  /** @returns false when it was gone already */
  async delete(sandboxRowId: string, id: string): Promise<boolean> {
    const { count } = await this.database.thread.deleteMany({ where: { id, sandboxRowId } });
    return count === 1;
  }
}
