import { describe, expect, test } from '@jest/globals';
import { commonConfig, ConfigError, databaseConfig, flag, integer, key256, list, readConfig } from './config.js';

const specs = { ...commonConfig, ...databaseConfig, PORT: integer({ min: 0, max: 65_535 })({ default: 3000 }), ORIGINS: list({ default: ['*'] }), ON: flag({ default: false }) };
const good = { REDIS_URL: 'redis://:pass@h', DATABASE_URL: 'postgresql://u:pass@h/d', GATEHOUSE_TRANSPORT_KEY: Buffer.alloc(32, 1).toString('base64') };

const problemsOf = (environment: Record<string, string>): readonly string[] => {
  try {
    readConfig(environment, specs);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe('configuration', () => {
  test('is typed, with defaults', () => {
    const config = readConfig({ ...good, PORT: '8080', ORIGINS: 'https://a, https://b', ON: 'true' }, specs);
    expect(config).toMatchObject({ PORT: 8080, ORIGINS: ['https://a', 'https://b'], ON: true, LOG_LEVEL: 'info', REDIS_NAMESPACE: 'gatehouse' });
    expect(config.GATEHOUSE_TRANSPORT_KEY).toHaveLength(32);
  });

  test('tells everything wrong at once, and never a value', () => {
    const secret = 'planted-secret-value';
    const problems = problemsOf({ REDIS_URL: secret, GATEHOUSE_TRANSPORT_KEY: secret, PORT: '70000', ON: 'yes' });
    expect(problems.map(problem => problem.split(' ')[0]).sort()).toEqual(['DATABASE_URL', 'GATEHOUSE_TRANSPORT_KEY', 'ON', 'PORT', 'REDIS_URL']);
    expect(problems.join('\n')).not.toContain(secret);
    expect(problems).toContain('PORT is not acceptable: must be an integer from 0 to 65535');
    expect(problems).toContain('DATABASE_URL is required: Postgres of this installation, postgresql://…');
  });

  test.each(['', 'short', Buffer.alloc(31).toString('base64'), Buffer.alloc(33).toString('base64'), `${'!'.repeat(43)}=`])('%p is no 256-bit key', value => {
    expect(() => readConfig({ KEY: value }, { KEY: key256() })).toThrow(ConfigError);
  });
});
