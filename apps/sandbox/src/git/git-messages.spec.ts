import { describe, expect, it } from '@jest/globals';
import { cloneFailure, loggableStderr } from './git-messages.js';

describe('cloneFailure', () => {
  it.each([
    ["fatal: Authentication failed for 'http://h/r'", ': the server refused access'],
    ["fatal: could not read Username for 'http://h': terminal prompts disabled", ': the server refused access'],
    ["fatal: unable to access 'http://h/r/': The requested URL returned error: 403", ': the server refused access'],
    ["fatal: repository 'http://h/r/' not found", ': the server does not have it'],
    ['fatal: Remote branch nope not found in upstream origin', ': it has no such branch'],
    ["fatal: unable to access 'http://h/r/': Failed to connect to h port 80: Connection refused", ': the server could not be reached'],
    ["fatal: unable to access 'http://h/r/': Could not resolve host: h", ': the server could not be reached'],
    ['fatal: dumb http transport does not support shallow capabilities', ': the server does not support a depth'],
    ['error: unable to write file a\nfatal: write error: No space left on device', ': the disk of the sandbox is full'],
    ["fatal: unable to access 'https://h/r/': SSL certificate problem: self-signed certificate", ': the connection to the server is not trusted'],
    ['fatal: something new', ''],
    ['', ''],
  ])('%j', (stderr, reason) => {
    expect(cloneFailure(stderr)).toBe(`The repository could not be cloned${reason}`);
  });
});

describe('loggableStderr', () => {
  const token = 'planted/+=&% token';

  it('keeps what git itself says', () => {
    expect(loggableStderr('Cloning into x\n\nfatal: early EOF\n')).toBe('Cloning into x; fatal: early EOF');
  });

  it('leaves out what a server says and where it leads', () => {
    expect(loggableStderr(`remote: hello ${token}\nfatal: remote error: ${token}\nwarning: redirecting to http://x/${token}\nfatal: invalid server response; got '${token}'\nfatal: the end`, token)).toBe('fatal: the end');
  });

  it('leaves out addresses, which callers may have put secrets into', () => {
    expect(loggableStderr("fatal: unable to access 'https://h/r?private_token=abc/': refused")).toBe("fatal: unable to access '[url]': refused");
  });

  it('masks the token in every form it travels in', () => {
    for (const form of [token, encodeURIComponent(token), Buffer.from(`x-access-token:${token}`).toString('base64')]) {
      expect(loggableStderr(`fatal: bad line ${form} here`, token)).toBe('fatal: bad line [redacted] here');
    }
  });

  it('is one short line', () => {
    expect(loggableStderr('a\rb\u001b[31mc')).toBe('a b [31mc');
    expect(loggableStderr('x'.repeat(100_000))).toHaveLength(1_000);
  });
});
