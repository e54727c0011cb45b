import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { runNode } from '../processes/commands.mjs';
import { startPostgres } from './postgres.mjs';
import { startRedis } from './redis.mjs';
import { together } from '../together.mjs';

/**
 * Postgres and Redis, started where the environment names none, with the schema of this working tree. They end with `children`.
 *
 * @param {import('../processes/children.mjs').Children} children
 * @param {string} dir
 * @param {{ durable: boolean, passwords?: { postgres: string, redis: string } }} options passwords of their own for services that are thrown away
 * @returns {Promise<{ DATABASE_URL: string, REDIS_URL: string }>}
 */
export async function startServices(children, dir, { durable, passwords = { postgres: randomPassword(), redis: randomPassword() } }) {
  mkdirSync(dir, { recursive: true });
  const [DATABASE_URL, REDIS_URL] = await together([
    process.env.DATABASE_URL || startPostgres(children, dir, { durable, password: passwords.postgres }),
    process.env.REDIS_URL || startRedis(children, dir, { password: passwords.redis }),
  ]);
  await runNode(['prisma/migrate.mjs', 'deploy'], { env: { DATABASE_URL }, timeoutMs: 300_000 });
  return { DATABASE_URL, REDIS_URL };
}

/** Fit for a URL and for a configuration file as it is. */
export const randomPassword = () => randomBytes(24).toString('hex');
