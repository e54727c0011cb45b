import './node-version.mjs';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runNode } from './processes/commands.mjs';
import { printFailure } from './progress.mjs';
import { isMain, root } from './workspace.mjs';

const schemaDir = join(root, 'prisma/schema');
const generated = join(root, 'libs/database/src/generated');
const stamp = join(generated, '.schema-hash');

/** Whether the generated client belongs to the schema and the Prisma version of this working tree. */
export const clientIsCurrent = () => existsSync(join(generated, 'client.ts')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === schemaHash();

/**
 * `prisma generate`. The command line first fetches a native migration engine from Prisma's own host, which generate
 * never runs and which many networks do not reach; naming any existing file as that engine skips the download.
 */
export async function generateClient() {
  const hash = schemaHash();
  await runNode(['node_modules/prisma/build/index.js', 'generate', '--no-hints'], {
    timeoutMs: 120_000,
    env: { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1', CHECKPOINT_DISABLE: '1', NO_COLOR: '1' },
  });
  writeFileSync(stamp, hash);
}

function schemaHash() {
  const hash = createHash('sha256');
  const files = readdirSync(schemaDir).filter(name => name.endsWith('.prisma')).sort().map(name => join('prisma/schema', name));
  for (const file of [...files, 'prisma.config.ts', 'node_modules/prisma/package.json']) {
    if (existsSync(join(root, file))) hash.update(`${file}\0`).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

if (isMain(import.meta.url)) {
  try {
    await generateClient();
  } catch (error) {
    printFailure(error);
    process.exitCode = 1;
  }
}
