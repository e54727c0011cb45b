import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { testServices } from './services.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const MIGRATE_DEADLINE_MS = 30_000;

export interface OwnDatabase {
  readonly url: string;
  /** Also ends connections that are left. */
  close(): Promise<void>;
}

/** A migrated database of its own, for a test that looks at whole tables. */
export const createOwnDatabase = async (): Promise<OwnDatabase> => {
  const { databaseUrl } = testServices();
  const name = `spec_${randomBytes(6).toString('hex')}`;
  await administer(databaseUrl, `CREATE DATABASE ${name}`);
  const url = new URL(databaseUrl);
  url.pathname = `/${name}`;
  await promisify(execFile)(process.execPath, [join(root, 'prisma/migrate.mjs'), 'deploy'], { cwd: root, env: { ...process.env, DATABASE_URL: url.href }, timeout: MIGRATE_DEADLINE_MS });
  return { url: url.href, close: () => administer(databaseUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
};

const administer = async (url: string, statement: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
};
