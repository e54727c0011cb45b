import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { ConfigError } from '@gatehouse/platform';
import { modelsOf, readSandboxConfig } from './config.js';
import { installationOf } from './installation.js';

const key = Buffer.alloc(32, 7).toString('base64');
const environment = {
  REDIS_URL: 'redis://127.0.0.1',
  DATABASE_URL: 'postgresql://127.0.0.1/x',
  GATEHOUSE_TRANSPORT_KEY: key,
  NODE_ID: 'node-1',
  SANDBOX_KEYS: `k1:${key}`,
};
const problemsOf = (changes: NodeJS.ProcessEnv): readonly string[] => {
  try {
    readSandboxConfig({ ...environment, ...changes });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
};

describe('configuration of the sandbox service', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
  const file = (name: string, content: string): string => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };
  afterAll(() => rmSync(directory, { recursive: true }));

  it('needs a node, keys and services, and has defaults for the rest', () => {
    const config = readSandboxConfig(environment);
    expect(config.SANDBOX_KEYS.currentId).toBe('k1');
    expect(installationOf(config)).toEqual({
      models: new Set(['claude-sonnet-4-6', 'sonnet', 'claude-opus-4-6', 'opus', 'claude-haiku-4-5', 'haiku', 'scripted']),
      defaults: { cpuMillis: 1_000, memoryMB: 512, diskMB: 1_024 },
      maxima: { cpuCount: 4, memoryMB: 8_192, diskMB: 20_480 },
      pids: 256,
      template: 'host',
    });
    expect(() => readSandboxConfig({})).toThrow(/NODE_ID is required[^]*SANDBOX_KEYS is required/);
  });

  it.each<[problem: string, changes: NodeJS.ProcessEnv]>([
    ['NODE_ID is not acceptable: must be 1 to 64 letters, digits, ".", "_" and "-", starting with a letter or digit', { NODE_ID: 'a b' }],
    ['SANDBOX_KEYS is not acceptable: Key ring: the key k1 is not base64', { SANDBOX_KEYS: 'k1:???' }],
    ['SANDBOX_DRIVER is not acceptable: must be one of local, docker', { SANDBOX_DRIVER: 'none' }],
    ['SANDBOX_MEMORY_MB is greater than SANDBOX_MEMORY_MB_MAX', { SANDBOX_MEMORY_MB: '1024', SANDBOX_MEMORY_MB_MAX: '512' }],
    ['MODELS_FILE is not acceptable: names a file that cannot be read', { MODELS_FILE: '/nowhere' }],
    ['MODELS_FILE is not acceptable: the table of models is empty', { MODELS_FILE: file('empty.json', '{}') }],
  ])('says: %s', (problem, changes) => {
    expect(problemsOf(changes)).toEqual([problem]);
  });

  it('replaces the table of models by a file', () => {
    const config = readSandboxConfig({ ...environment, MODELS_FILE: file('models.json', JSON.stringify({ mine: { price: { input: 1, output: 1, cachedInput: 1, cacheWrite: 1 } } })) });
    expect(Object.keys(modelsOf(config))).toEqual(['mine']);
  });
});
