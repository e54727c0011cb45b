import { describe, expect, it } from '@jest/globals';
import { cloneCommand } from './clone-command.js';

const argumentsOf = (input: Parameters<typeof cloneCommand>[0]): string[] => cloneCommand(input, '/home/user/repo', '/home/user').slice(3);

describe('cloneCommand', () => {
  it('gives git nothing that was not asked for', () => {
    expect(argumentsOf({ url: 'https://example.com/a.git' })).toEqual([
      ...['clone', '/home/user/repo', '/home/user'],
      ...['-c', 'credential.helper=', '-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'http.followRedirects=initial'],
      ...['clone', '--quiet', '--no-recurse-submodules', '--', 'https://example.com/a.git', '/home/user/repo'],
    ]);
  });

  it('takes depth and branch', () => {
    expect(argumentsOf({ url: 'https://example.com/a.git', depth: 3, branch: 'feature' })).toEqual(expect.arrayContaining(['--depth=3', '--branch=feature']));
  });

  it.each([
    ['https://Example.COM:443/a', 'https://example.com'],
    ['http://127.0.0.1:8080/a', 'http://127.0.0.1:8080'],
    ['http://[::1]:8080/a', 'http://[::1]:8080'],
    ['https://bücher.example/a', 'https://xn--bcher-kva.example'],
  ])('offers the token of %s to that origin only, and shows it in no argument', (url, origin) => {
    const given = argumentsOf({ url, token: 'planted-token' });
    expect(given.filter(argument => argument.startsWith('credential.'))).toEqual(['credential.helper=', expect.stringContaining(`credential.${origin}.helper=!f()`)]);
    expect(given).toContain(`${origin}/a`);
    expect(given.join('\n')).not.toContain('planted-token');
  });
});
