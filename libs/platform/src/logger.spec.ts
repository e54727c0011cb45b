import { describe, expect, test } from '@jest/globals';
import { createLogger } from './logger.js';

const logged = (write: (logger: ReturnType<typeof createLogger>) => void): string => {
  const lines: string[] = [];
  write(createLogger({ service: 's', instance: 'i', level: 'debug', destination: { write: line => void lines.push(line) } }));
  return lines.join('');
};

describe('the log', () => {
  test.each(['authorization', 'secret', 'token', 'password', 'envs', 'auth', 'apiKey', 'clientSecret', 'refreshToken'])('never shows a field named %s, however deep it was put', name => {
    const text = logged(logger => logger.info({ [name]: 'planted', request: { [name]: 'planted', headers: { [name]: 'planted' } } }, 'x'));
    expect(text).not.toContain('planted');
    expect(text).toContain('[redacted]');
  });

  test('of an error shows what helps to find it: not its other fields, not passwords in URLs, not keys', () => {
    const cause = Object.assign(new Error('connect postgresql://user:planted@host failed, redis://:planted/planted@h and http://u:p@planted@h too'), { config: { password: 'planted' } });
    const text = logged(logger => logger.error({ err: Object.assign(new Error('gate_sk_planted0000 was refused', { cause }), { code: 'E1', args: ['planted'] }) }, 'x'));
    expect(text).not.toContain('planted');
    expect(text).toContain('"code":"E1"');
    expect(text).toContain('postgresql://[redacted]@host');
    expect(text).toContain('gate_sk_[redacted]');
  });
});
