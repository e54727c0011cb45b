import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils';
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg';

/**
 * Prisma's own migration engine, as WebAssembly from npm, talking to Postgres through the driver adapter. The `prisma`
 * command line would download a native engine from a host many networks do not reach. Both keep the same
 * `_prisma_migrations` table with the same checksums, so either may continue where the other stopped.
 *
 * @param {[path: string, content: string][]} datamodels all files of the schema
 * @param {string} [databaseUrl] without one the engine can still compare schemas
 */
export async function schemaEngine(datamodels, databaseUrl) {
  const file = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg').replace(/\.js$/, '.wasm');
  const { instance } = await WebAssembly.instantiate(await readFile(file), { './schema_engine_bg.js': bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  const adapter = bindMigrationAwareSqlAdapterFactory(databaseUrl ? new PrismaPg({ connectionString: databaseUrl }) : noDatabase);
  const log = text => process.env.DEBUG && console.error(text);
  return bindings.SchemaEngine.new({ datamodels }, log, adapter);
}

/** The engine always asks its connection what server it talks to, once, and comparing two schemas needs nothing further. */
const serverFacts = {
  columnNames: ['exists', 'version', 'numeric_version'],
  columnTypes: [ColumnTypeEnum.Boolean, ColumnTypeEnum.Text, ColumnTypeEnum.Int32],
  rows: [[true, 'PostgreSQL 18.0', 180_000]],
};

const refuse = async () => {
  throw new Error('this command works without a database');
};

const offlineConnection = {
  provider: 'postgres',
  adapterName: 'offline',
  queryRaw: async ({ sql }) => (sql.includes('server_version_num') ? serverFacts : refuse()),
  executeRaw: refuse,
  executeScript: refuse,
  startTransaction: refuse,
  dispose: async () => {},
  getConnectionInfo: () => ({ schemaName: 'public', supportsRelationJoins: true }),
};

const noDatabase = {
  provider: 'postgres',
  adapterName: 'offline',
  connect: async () => offlineConnection,
  connectToShadowDb: async () => offlineConnection,
};
