// node prisma/migrate.mjs deploy [--wait seconds] | create <name> | status | retry <migration>
import pg from 'pg';
import { migrationsList, schemaCommitted, schemaNow, uncommittedMigrations, writeMigration } from './migration-files.mjs';
import { schemaEngine } from './schema-engine.mjs';

const CONNECT_MS = 5_000;
const LOCK_WAIT_MS = 120_000;
/** Any number that nothing else of ours locks. */
const DEPLOY_LOCK = 71_020_115;
const filters = { externalTables: [], externalEnums: [] };

class Refused extends Error {}

const commands = {
  /** Applies what is missing. Of two at once the second waits, and finds nothing left to do. */
  async deploy(...args) {
    const waitSeconds = args[0] === '--wait' ? Number(args[1]) : 0;
    if (Number.isNaN(waitSeconds)) throw new Refused('--wait takes a number of seconds.');
    const connection = await connect(waitSeconds);
    await connection.query(`SET lock_timeout = ${LOCK_WAIT_MS}`);
    await connection.query('SELECT pg_advisory_lock($1)', [DEPLOY_LOCK]).catch(error => {
      throw new Refused(`Another migration has held this database for ${LOCK_WAIT_MS / 1000} s.`, { cause: error });
    });
    const engine = await schemaEngine(schemaNow(), databaseUrl());
    const { appliedMigrationNames: applied } = await engine.applyMigrations({ migrationsList: migrationsList(), filters });
    await connection.end();
    console.log(applied.length > 0 ? `applied ${applied.join(', ')}` : 'database is up to date');
  },

  /** Writes the script that leads from the committed schema to the one in the working tree. Needs no database. */
  async create(name) {
    if (!/^[a-z0-9_]+$/.test(name ?? '')) throw new Refused('A migration needs a name of small letters, digits and underscores: npm run db:create-migration -- add_credentials');
    const pending = uncommittedMigrations();
    if (pending.length > 0) throw new Refused(`${pending.join(', ')} is not committed. Commit it with its schema, or delete it, before making the next.`);
    const before = schemaCommitted();
    const now = schemaNow();
    const engine = await schemaEngine(now);
    const { stdout: sql } = await engine.diff({
      from: before.length > 0 ? asTarget(before) : { tag: 'empty' },
      to: asTarget(now),
      script: true,
      shadowDatabaseUrl: null,
      exitCode: null,
      filters,
    });
    if (!sql || sql.includes('-- This is an empty migration.')) return console.log('The schema has not changed since the last commit.');
    console.log(`created ${writeMigration(name, createSchemas(before, now, sql) + sql)}`);
  },

  /** After a migration failed and was mended: lets the next deploy apply it again. Undo by hand what its first statements did. */
  async retry(name) {
    const connection = await connect(0);
    await connection.end();
    const engine = await schemaEngine(schemaNow(), databaseUrl());
    await engine.markMigrationRolledBack({ migrationName: name ?? '' });
    console.log(`${name} will be applied by the next deploy`);
  },

  /** Says which migrations the database lacks; exit code 1 when it is not up to date. */
  async status() {
    const connection = await connect(0);
    await connection.end();
    const engine = await schemaEngine(schemaNow(), databaseUrl());
    const { history, failedMigrationNames: failed, editedMigrationNames: edited } = await engine.diagnoseMigrationHistory({
      migrationsList: migrationsList(),
      optInToShadowDatabase: false,
      filters,
    });
    const missing = history?.unappliedMigrationNames ?? [];
    if (failed.length > 0) console.log(`failed: ${failed.join(', ')}`);
    if (edited.length > 0) console.log(`edited after they were applied: ${edited.join(', ')}`);
    if (missing.length > 0) console.log(`not applied: ${missing.join(', ')}`);
    if (history && history.diagnostic !== 'databaseIsBehind') console.log(`history: ${history.diagnostic}`);
    const current = failed.length + edited.length + missing.length === 0 && !history;
    if (current) console.log('database is up to date');
    return current ? 0 : 1;
  },
};

/** The engine forgets to create a Postgres schema whose first table comes later than its name in the `schemas` list. */
function createSchemas(before, now, sql) {
  const used = files => new Set(files.flatMap(([, content]) => [...content.matchAll(/@@schema\("([^"]+)"\)/g)].map(([, name]) => name)));
  const known = used(before);
  return [...used(now)]
    .filter(name => !known.has(name))
    .map(name => `CREATE SCHEMA IF NOT EXISTS "${name}";`)
    .filter(statement => !sql.includes(statement))
    .map(statement => `-- CreateSchema\n${statement}\n\n`)
    .join('');
}

const asTarget = files => ({ tag: 'schemaDatamodel', files: files.map(([path, content]) => ({ path, content })) });

function databaseUrl() {
  const url = process.env.DATABASE_URL;
  if (!url) throw new Refused('DATABASE_URL is not set. Example: DATABASE_URL=postgresql://user:password@localhost:5432/gatehouse');
  if (!URL.canParse(url)) throw new Refused('DATABASE_URL is not a URL.');
  return url;
}

/** A refused or unanswered connection is tried again until `waitSeconds` are over: in a deployment both start at once. */
async function connect(waitSeconds) {
  const url = databaseUrl();
  const end = performance.now() + waitSeconds * 1000;
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS });
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (performance.now() >= end) {
        const { host, pathname } = new URL(url);
        throw new Refused(`The database at ${host}${pathname} cannot be reached: ${error.message || error.code}`, { cause: error });
      }
      await new Promise(resolve => setTimeout(resolve, 500));
    }
  }
}

const [command, ...args] = process.argv.slice(2);
let exitCode = 0;
try {
  if (!Object.hasOwn(commands, command ?? '')) throw new Refused('usage: node prisma/migrate.mjs deploy [--wait seconds] | create <name> | status | retry <migration>');
  exitCode = (await commands[command](...args)) ?? 0;
} catch (error) {
  console.error(error.message);
  if (process.env.DEBUG) console.error(error);
  exitCode = 1;
}
// The engine keeps its connections open, and has no way to close them.
process.exit(exitCode);
