import { describe, expect, it } from '@jest/globals';
import { isGitRefName } from './git-ref-name.js';

describe('isGitRefName', () => {
  it.each(['main', 'feature/a-b', 'v1.0', 'a', '0', 'ü/日本', 'a@b', 'a{b}', '@a', 'a@', 'HEAD', 'a-', 'a.lock.b', 'a.b/c.d', "it's", '$(id)', 'a;b', 'a"b', '#1', 'a'.repeat(255)])('accepts %j', name => {
    expect(isGitRefName(name)).toBe(true);
  });

  it.each([
    ['nothing', ['']],
    ['a part that starts with a dot', ['.a', 'a/.b', '.']],
    ['a part that ends with .lock', ['a.lock', 'a.lock/b', 'a/b.lock', '.lock']],
    ['two dots', ['a..b', '..', 'main..feature']],
    ['control characters, blanks, ~ ^ :', ['a b', 'a\tb', 'a\nb', 'a\0b', 'a\u007fb', 'a~1', 'a^', 'a:b']],
    ['the characters of patterns', ['a?', 'a*', 'a[b']],
    ['empty parts', ['/a', 'a/', 'a//b', '/']],
    ['a dot last', ['a.', 'a/b.']],
    ['@{ and a lone @', ['a@{1}', '@{u}', '@']],
    ['a backslash', ['a\\b']],
    ['a hyphen first, which would be an option', ['-a', '--upload-pack=touch']],
  ])('refuses %s', (_what, names) => {
    expect(names.filter(isGitRefName)).toEqual([]);
  });
});
