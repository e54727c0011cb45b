import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { redisBinaryEnv } from './redis.mjs';
import { migrate, startServices } from './services.mjs';
import { throwaway } from './throwaway.mjs';

/**
 * Lets jest, or nx, be called directly: a project with integration specs gets a Postgres and a Redis of its own for this one
 * jest process, where the environment names none. Under `npm test` all projects share one pair.
 */
export default async function jestGlobalSetup(_globalConfig, { rootDir }) {
  const { DATABASE_URL, REDIS_URL } = process.env;
  if ((DATABASE_URL && REDIS_URL) || !needsServices(rootDir)) return;
  const { dir, children, end } = await throwaway();
  const services = await startServices(children, dir, { durable: false });
  globalThis.gatehouseTestServices = {
    async stop() {
      await services.stop();
      end();
    },
  };
  Object.assign(process.env, services.env, await redisBinaryEnv());
  if (!DATABASE_URL) await migrate(services.env);
}

const needsServices = rootDir => {
  const files = readdirSync(join(rootDir, 'src'), { recursive: true });
  return files.some(file => /\.(int|e2e)\.spec\.ts$/.test(file)) || rootDir.endsWith('e2e');
};
