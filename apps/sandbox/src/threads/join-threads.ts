import { THREADS_SHOWN_MAX } from '@gatehouse/contracts';
import { Prisma } from '@gatehouse/database';
import { type SandboxScope, threadsVisibleTo } from '../sandboxes/sandbox-scope.js';

/** A `ThreadRow` as one JSON value. */
export const THREAD_AS_JSON = Prisma.sql`json_build_object('id', threads.id, 'name', threads.name, 'status', threads.status,
  'externalUserId', threads.external_user_id, 'createdAt', threads.created_at, 'updatedAt', threads.updated_at)`;

/** Joined to `sandboxes`: `threads.list`, a JSON list of the threads the caller may see, newest first, no more than are shown. */
export const joinThreads = (scope: SandboxScope): Prisma.Sql => Prisma.sql`CROSS JOIN LATERAL (
  SELECT coalesce(json_agg(${THREAD_AS_JSON} ORDER BY threads.created_at DESC, threads.id DESC), '[]') AS list
  FROM (
    SELECT * FROM sandbox.threads WHERE threads.sandbox_row_id = sandboxes.id AND ${threadsVisibleTo(scope)}
    ORDER BY created_at DESC, id DESC LIMIT ${THREADS_SHOWN_MAX}
  ) threads
) threads`;
