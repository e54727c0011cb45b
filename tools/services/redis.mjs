import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivate } from '../env-file.mjs';
import { works } from '../processes/commands.mjs';
import { hasDebianPackages, libraryFolder, unpackDebianPackages } from './debian-packages.mjs';
import { onFreePort } from './ports.mjs';
import { startServer } from './server-process.mjs';
import { stateDir } from '../workspace.mjs';

const PACKAGES = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1', 'liblua5.1-0', 'lua-cjson', 'lua-bitop', 'libhiredis0.14'];

/**
 * A Redis listening on 127.0.0.1 for who knows the password, in memory only: what must survive is in Postgres.
 *
 * @param {import('../processes/children.mjs').Children} children
 * @param {string} dir where its log is
 * @param {{ password: string }} options
 * @returns {Promise<string>} its URL
 */
export async function startRedis(children, dir, { password }) {
  const { bin, libraryPath } = await redisBinary();
  // In a file and not among the arguments, which every user of the machine can read.
  const settings = join(dir, 'redis.conf');
  writePrivate(settings, `requirepass ${password}\n`);
  return onFreePort(async port => {
    await startServer(children, {
      name: 'redis',
      // BullMQ loses jobs when keys may be evicted.
      command: [bin, settings, '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--maxmemory-policy', 'noeviction'],
      log: join(dir, 'redis.log'),
      readyLine: 'Ready to accept connections',
      cwd: dir,
      env: libraryPath ? { ...process.env, LD_LIBRARY_PATH: libraryPath } : process.env,
    });
    return `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}`;
  });
}

/**
 * Where a redis-server is: named by REDIS_SERVER_BIN, on PATH, or unpacked from Debian's packages.
 *
 * @returns {Promise<{ bin: string, libraryPath?: string }>} libraryPath: what LD_LIBRARY_PATH must be for it
 */
export async function redisBinary() {
  const { REDIS_SERVER_BIN: bin, REDIS_SERVER_LD_LIBRARY_PATH: libraryPath } = process.env;
  if (bin) return { bin, libraryPath };
  for (const name of ['redis-server', 'valkey-server']) if (works(name)) return { bin: name };

  const tree = join(stateDir, 'runtime', `redis-${process.arch}`);
  const unpacked = { bin: join(tree, 'usr/bin/redis-server'), libraryPath: libraryFolder(tree) };
  if (existsSync(tree)) return unpacked;
  const advice = 'Install redis-server or valkey-server, or set REDIS_URL (for example: docker compose up -d redis).';
  if (!hasDebianPackages()) throw new Error(`No Redis was found. ${advice}`);
  try {
    await unpackDebianPackages(PACKAGES, tree);
    return unpacked;
  } catch (error) {
    throw Object.assign(new Error(`No Redis was found, and its Debian packages could not be fetched. ${advice}`, { cause: error }), { output: error.output });
  }
}

/** How tests that start a Redis of their own find the program. */
export async function redisBinaryEnv() {
  const { bin, libraryPath } = await redisBinary();
  return { REDIS_SERVER_BIN: bin, ...(libraryPath ? { REDIS_SERVER_LD_LIBRARY_PATH: libraryPath } : {}) };
}
