import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { sandboxRuntimeEnv } from '../sandbox-env.mjs';
import { redisBinaryEnv } from '../services/redis.mjs';
import { startServices } from '../services/services.mjs';
import { throwaway } from '../services/throwaway.mjs';

/**
 * Lets jest, or nx, be called directly: a project with integration specs gets a Postgres and a Redis of its own for this one
 * jest process, where the environment names none. Under `npm test` all projects share one pair.
 */
export default async function jestGlobalSetup(_globalConfig, { rootDir }) {
  const { DATABASE_URL, REDIS_URL } = process.env;
  if ((DATABASE_URL && REDIS_URL) || !needsServices(rootDir)) return;
  const { dir, children, end } = await throwaway();
  globalThis.endGatehouseTestServices = end;
  Object.assign(process.env, await startServices(children, dir, { durable: false }), await redisBinaryEnv());
  if (basename(rootDir) === 'e2e' && !process.env.SANDBOX_RUNTIME) Object.assign(process.env, await sandboxRuntimeEnv());
}

const needsServices = rootDir => basename(rootDir) === 'e2e' || readdirSync(join(rootDir, 'src'), { recursive: true }).some(file => file.endsWith('.int.spec.ts'));
