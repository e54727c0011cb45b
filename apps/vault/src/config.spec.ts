import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { ConfigError } from '@gatehouse/platform';
import { readVaultConfig, suggestionsOf } from './config.js';

const key = Buffer.alloc(32, 7).toString('base64');
const otherKey = Buffer.alloc(32, 8).toString('base64');
const publicKey = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x ?? '';
const environment: NodeJS.ProcessEnv = {
  REDIS_URL: 'redis://127.0.0.1',
  DATABASE_URL: 'postgresql://127.0.0.1/x',
  GATEHOUSE_TRANSPORT_KEY: key,
  VAULT_KEYS: `k1:${key}`,
  RUN_TOKEN_PUBLIC_KEYS: publicKey,
};
const problemsOf = (changes: NodeJS.ProcessEnv): readonly string[] => {
  try {
    readVaultConfig({ ...environment, ...changes });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};

describe('configuration of the vault service', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
  let files = 0;
  const file = (content: unknown): string => {
    const path = join(directory, String(files++));
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  afterAll(() => rmSync(directory, { recursive: true }));

  it('needs keys and services, and has defaults for the rest', () => {
    const config = readVaultConfig(environment);
    expect(config).toMatchObject({ VAULT_KEY_RING: { currentId: 'k1' }, VAULT_COVERAGE_MODE: 'warn', VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS: false, VAULT_AUDIT_DAYS: 90 });
    expect(config.RUN_TOKEN_PUBLIC_KEYS.size).toBe(1);
    expect(suggestionsOf(config)).toHaveLength(9);
    expect(suggestionsOf(config)[3]).toEqual({ name: 'Atlassian Rovo', url: 'https://mcp.atlassian.com/v1/mcp' });
  });

  it('tells all that is missing at once, and both ways to give the keys', () => {
    expect(() => readVaultConfig({})).toThrow(/DATABASE_URL is required[^]*VAULT_KEYS is required[^]*VAULT_KEYS_FILE[^]*RUN_TOKEN_PUBLIC_KEYS is required/);
  });

  it('reads the keys from a file, an entry per line', () => {
    const config = readVaultConfig({ ...environment, VAULT_KEYS: undefined, VAULT_KEYS_FILE: file(`\n  k2:${otherKey} ,\n  k1:${key}\n\n`) });
    expect(config.VAULT_KEY_RING.currentId).toBe('k2');
  });

  it.each<[problem: string, changes: NodeJS.ProcessEnv]>([
    ['VAULT_KEYS is not acceptable: Key ring: the key k1 is not base64', { VAULT_KEYS: 'k1:???' }],
    ['VAULT_KEYS and VAULT_KEYS_FILE are two ways to say the same: give exactly one of them', { VAULT_KEYS_FILE: file(`k1:${key}`) }],
    ['VAULT_KEYS_FILE is not acceptable: names a file that cannot be read', { VAULT_KEYS: undefined, VAULT_KEYS_FILE: '/nowhere' }],
    ['VAULT_KEYS_FILE is not acceptable: Key ring: the key k1 has 3 bytes instead of 32', { VAULT_KEYS: undefined, VAULT_KEYS_FILE: file('k1:AAAA') }],
    [`the vault's current key has the id "dev", which is for development: put a key of another id first`, { VAULT_KEYS: `dev:${key},k1:${otherKey}` }],
    ['RUN_TOKEN_PUBLIC_KEYS is not acceptable: Run token public keys: entry 2 has 3 bytes instead of 32', { RUN_TOKEN_PUBLIC_KEYS: `${publicKey},AAAA` }],
    ['VAULT_COVERAGE_MODE is not acceptable: must be one of strict, warn, off', { VAULT_COVERAGE_MODE: 'loud' }],
    ['VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS is not acceptable: must be true or false', { VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS: '1' }],
    ['VAULT_AUDIT_DAYS is not acceptable: must be an integer from 1 to 3650', { VAULT_AUDIT_DAYS: '0' }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: names a file that cannot be read', { VAULT_SUGGESTIONS_FILE: '/nowhere' }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: the file is not JSON', { VAULT_SUGGESTIONS_FILE: file('[') }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: must be a JSON array of suggestions', { VAULT_SUGGESTIONS_FILE: file({ name: 'Mine' }) }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: must have at most 100 suggestions', { VAULT_SUGGESTIONS_FILE: file(Array.from({ length: 101 }, () => ({ name: 'Mine', url: 'https://mine.example' }))) }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: suggestion 1: name must be a text of 1 to 200 characters', { VAULT_SUGGESTIONS_FILE: file([null]) }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: suggestion 1: name must be a text of 1 to 200 characters', { VAULT_SUGGESTIONS_FILE: file([{ name: 'x'.repeat(201), url: 'https://mine.example' }]) }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: suggestion 2: url must be an http or https URL', { VAULT_SUGGESTIONS_FILE: file([{ name: 'Mine', url: 'https://mine.example' }, { name: 'Other', url: 'ftp://mine.example' }]) }],
    ['VAULT_SUGGESTIONS_FILE is not acceptable: suggestion 1: url must be a string', { VAULT_SUGGESTIONS_FILE: file([{ name: 'Mine' }]) }],
  ])('says: %s', (problem, changes) => {
    expect(problemsOf(changes)).toEqual([problem]);
  });

  it('takes the development key outside production, and as a former key in it', () => {
    expect(problemsOf({ NODE_ENV: 'development', VAULT_KEYS: `dev:${key}` })).toEqual([]);
    expect(problemsOf({ VAULT_KEYS: `k1:${otherKey},dev:${key}` })).toEqual([]);
  });

  it('lets production reach private token endpoints when it says so', () => {
    expect(readVaultConfig({ ...environment, VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS: 'true' }).VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS).toBe(true);
  });

  it('replaces the list of suggestions by a file, and shows nothing else of it', () => {
    const config = readVaultConfig({ ...environment, VAULT_SUGGESTIONS_FILE: file([{ name: 'Mine', url: 'https://mine.example/mcp', note: 'ours' }]) });
    expect(suggestionsOf(config)).toEqual([{ name: 'Mine', url: 'https://mine.example/mcp' }]);
  });
});
