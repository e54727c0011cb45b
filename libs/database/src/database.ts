import { PrismaPg } from '@prisma/adapter-pg';
import { databaseFailure } from './database-failure.js';
import { Prisma, PrismaClient } from './generated/client.js';

export interface DatabaseOptions {
  /** `postgresql://…`; may hold a password, so it is never logged. */
  readonly url: string;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName: string;
  readonly connectionsMax?: number;
  /** Milliseconds one statement may take, on the server and on the wire. */
  readonly statementTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  readonly onConnectionError?: (error: Error) => void;
}

/** Room for the answer to travel once the server itself has given up. */
const WIRE_MARGIN_MS = 500;

const open = ({ url, applicationName, connectionsMax = 10, statementTimeoutMs = 3_000, connectTimeoutMs = 2_000, onConnectionError = () => undefined }: DatabaseOptions) => {
  const adapter = new PrismaPg(
    {
      connectionString: url,
      application_name: applicationName,
      max: connectionsMax,
      connectionTimeoutMillis: connectTimeoutMs,
      statement_timeout: statementTimeoutMs,
      lock_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: 2 * statementTimeoutMs,
      query_timeout: statementTimeoutMs + WIRE_MARGIN_MS,
      keepAlive: true,
    },
    // Without listeners an idle connection that Postgres closes would end the process.
    { onPoolError: onConnectionError, onConnectionError, statementNameGenerator: statementName() },
  );
  return new PrismaClient({ adapter, transactionOptions: { maxWait: connectTimeoutMs, timeout: 2 * statementTimeoutMs } }).$extends({
    name: 'database-failure',
    query: {
      async $allOperations({ args, query }) {
        try {
          return await (query(args) as Promise<unknown>);
        } catch (error) {
          throw databaseFailure(error);
        }
      },
    },
  });
};

/**
 * Postgres of one process. A statement that cannot be answered in time, or a database that is away, throws
 * `internal_error` 503; the pool reconnects by itself.
 */
export type Database = ReturnType<typeof open>;
export const openDatabase: (options: DatabaseOptions) => Database = open;

/** What runs inside a transaction. */
export type Transaction = Parameters<Parameters<Database['$transaction']>[0]>[0];

/**
 * Runs `work` in one transaction, READ COMMITTED.
 * @throws whatever `work` throws; `internal_error` 503 when the transaction could not begin or commit.
 */
export const inTransaction = async <T>(database: Database, work: (transaction: Transaction) => Promise<T>): Promise<T> => {
  try {
    return await database.$transaction(work, { isolationLevel: Prisma.TransactionIsolationLevel.ReadCommitted });
  } catch (error) {
    throw databaseFailure(error);
  }
};

/** Resolves when Postgres answers; throws `internal_error` 503 otherwise. */
export const pingDatabase = async (database: Database): Promise<void> => {
  await database.$queryRaw`SELECT 1`;
};

/**
 * Prepared statements are cached per connection under a name per SQL text. Prisma's texts are few; the bound is for
 * lists in `IN (…)`, which make a new text per length.
 */
const statementName = (namesMax = 500) => {
  const names = new Map<string, string>();
  return ({ sql }: { sql: string }): string => {
    const known = names.get(sql);
    if (known !== undefined) return known;
    if (names.size >= namesMax) return '';
    const name = `s${names.size}`;
    names.set(sql, name);
    return name;
  };
};
