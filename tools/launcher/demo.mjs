import { join } from 'node:path';
import { runNode } from '../processes/commands.mjs';
import { readEnvFile, writeEnvFile } from '../env-file.mjs';
import { root, stateDir } from '../workspace.mjs';

const ANSWER_MS = 10_000;
const DEMO = 'demo';

export const devEnvFile = join(stateDir, 'dev.env');

/**
 * A team with a key and an agent to try things with. A key that still works is kept, so that what a developer pasted
 * elsewhere goes on working.
 *
 * @param {string} url of the gateway
 * @param {Record<string, string>} services where its database and Redis are
 * @returns {Promise<string>} the key
 */
export async function ensureDemo(url, services) {
  const known = readEnvFile(devEnvFile).GATEHOUSE_API_KEY;
  const key = known && (await authenticates(url, known)) ? known : await createKey(services);
  writeEnvFile(devEnvFile, { GATEHOUSE_URL: url, GATEHOUSE_API_KEY: key });
  await ensureAgent(url, key);
  return key;
}

async function authenticates(url, key) {
  const { status } = await call(url, key, 'GET', '/v1/me', undefined, [200, 401]);
  return status === 200;
}

async function createKey(services) {
  const output = await runNode([join(root, 'apps/gateway/dist/cli/main.js'), 'keys', 'create', '--team', DEMO, '--name', DEMO, '--json'], { env: services, timeoutMs: 30_000 });
  return JSON.parse(output).secret;
}

async function ensureAgent(url, key) {
  const { status } = await call(url, key, 'GET', `/v1/agents/${DEMO}`, undefined, [200, 404]);
  if (status === 404) await call(url, key, 'PUT', `/v1/agents/${DEMO}`, { name: 'Demo', model: 'scripted' }, [200, 201]);
}

async function call(url, key, method, path, body, expected) {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  const text = await response.text();
  if (!expected.includes(response.status)) throw new Error(`${method} ${path} answered ${response.status}: ${text.slice(0, 500)}`);
  return { status: response.status };
}
