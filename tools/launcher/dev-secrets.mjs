import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivate } from '../env-file.mjs';
import { randomPassword } from '../services/services.mjs';
import { stateDir } from '../workspace.mjs';

const key = () => randomBytes(32).toString('base64');

/**
 * The installation's keys and passwords for development, made once: what was sealed with them yesterday must open today. One that a
 * later version of this file adds is added to an existing set.
 *
 * @returns {{ GATEHOUSE_TRANSPORT_KEY: string, SANDBOX_KEYS: string, POSTGRES_PASSWORD: string, REDIS_PASSWORD: string }}
 */
export function devSecrets(file = join(stateDir, 'dev-secrets.json')) {
  const known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const secrets = { GATEHOUSE_TRANSPORT_KEY: key(), SANDBOX_KEYS: `dev:${key()}`, POSTGRES_PASSWORD: randomPassword(), REDIS_PASSWORD: randomPassword(), ...known };
  if (Object.keys(secrets).length > Object.keys(known).length) writePrivate(file, `${JSON.stringify(secrets, null, 2)}\n`);
  return secrets;
}
