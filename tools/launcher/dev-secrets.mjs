import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
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
 * @returns {{ GATEHOUSE_TRANSPORT_KEY: string, SANDBOX_KEYS: string, VAULT_KEYS: string, RUN_TOKEN_PRIVATE_KEY: string, RUN_TOKEN_PUBLIC_KEYS: string, POSTGRES_PASSWORD: string, REDIS_PASSWORD: string }}
 */
export function devSecrets(file = join(stateDir, 'dev-secrets.json')) {
  const known = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const made = {
    GATEHOUSE_TRANSPORT_KEY: key(),
    SANDBOX_KEYS: `dev:${key()}`,
    VAULT_KEYS: `dev:${key()}`,
    RUN_TOKEN_PRIVATE_KEY: key(),
    POSTGRES_PASSWORD: randomPassword(),
    REDIS_PASSWORD: randomPassword(),
    ...known,
  };
  const secrets = { RUN_TOKEN_PUBLIC_KEYS: ed25519PublicKey(made.RUN_TOKEN_PRIVATE_KEY), ...made };
  if (Object.keys(secrets).length > Object.keys(known).length) writePrivate(file, `${JSON.stringify(secrets, null, 2)}\n`);
  return secrets;
}

/** Of a seed in base64, in base64. The seed is put into the PKCS #8 form of such a key (RFC 8410, section 7). */
function ed25519PublicKey(seed) {
  const privateKey = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed, 'base64')]), format: 'der', type: 'pkcs8' });
  return Buffer.from(createPublicKey(privateKey).export({ format: 'jwk' }).x, 'base64url').toString('base64');
}
