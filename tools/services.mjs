import { mkdirSync } from 'node:fs';
import { startPostgres } from './postgres.mjs';
import { startRedis } from './redis.mjs';
import { runNode } from './commands.mjs';

/**
 * Postgres and Redis, started where the environment names none.
 *
 * @param {import('./children.mjs').Children} children
 * @param {string} dir
 * @param {{ durable: boolean }} options
 * @returns {Promise<{ env: { DATABASE_URL: string, REDIS_URL: string }, stop: () => Promise<void> }>}
 */
export async function startServices(children, dir, { durable }) {
  mkdirSync(dir, { recursive: true });
  const { DATABASE_URL, REDIS_URL } = process.env;
  const results = await Promise.allSettled([
    DATABASE_URL ? given(DATABASE_URL) : startPostgres(children, dir, { durable }),
    REDIS_URL ? given(REDIS_URL) : startRedis(children, dir),
  ]);
  const started = results.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
  const stop = async () => {
    await Promise.all(started.map(service => service.stop()));
  };
  const failed = results.find(({ status }) => status === 'rejected');
  if (failed) {
    await stop();
    throw failed.reason;
  }
  const [postgres, redis] = started;
  return { env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url }, stop };
}

/** @param {{ DATABASE_URL: string }} env */
export const migrate = env => runNode(['prisma/migrate.mjs', 'deploy'], { env, timeoutMs: 300_000 });

const given = async url => ({ url, stop: async () => {} });
