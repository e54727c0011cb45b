import { describe, expect, test } from '@jest/globals';
import { normaliseServerUrl } from '@gatehouse/contracts';
import { matchCredential } from './match-credential.js';

const [A, B] = ['vault-a', 'vault-b'];
/** `vault url` texts become credentials named by them. */
const credentials = (...texts: string[]) =>
  texts.map(text => {
    const [vaultId = '', url = ''] = text.split(' ');
    return { id: text, vaultId: `vault-${vaultId}`, serverUrlNormalized: normaliseServerUrl(url).normalized };
  });
const matched = (target: string, kept: string[], vaultIds: string[] = [A, B]): string | null => matchCredential(new URL(target), vaultIds, credentials(...kept))?.id ?? null;

describe('the credential a request gets', () => {
  test.each<[what: string, target: string, kept: string[], expected: string | null]>([
    ['same host', 'https://mcp.linear.app/mcp', ['a https://mcp.linear.app/mcp'], 'a https://mcp.linear.app/mcp'],
    ['case of the host', 'https://MCP.Linear.App/', ['a https://mcp.linear.app/mcp'], 'a https://mcp.linear.app/mcp'],
    ['the path of the only one is ignored', 'https://mcp.linear.app/other', ['a https://mcp.linear.app/mcp'], 'a https://mcp.linear.app/mcp'],
    ['the query is ignored', 'https://h.example/a?x=1', ['a https://h.example/a?y=2'], 'a https://h.example/a?y=2'],
    ['own port of the scheme', 'https://h.example:443/', ['a https://h.example/'], 'a https://h.example/'],
    ['other scheme', 'http://h.example/', ['a https://h.example/'], null],
    ['other port', 'https://h.example:8443/', ['a https://h.example/'], null],
    ['http on the port of https', 'http://h.example:443/', ['a https://h.example/'], null],
    ['other host', 'https://evil.example/', ['a https://h.example/'], null],
    ['a suffix is not a host', 'https://evilh.example/', ['a https://h.example/'], null],
    ['wildcard, one label', 'https://mcp.notion.com/x', ['a https://*.notion.com/mcp'], 'a https://*.notion.com/mcp'],
    ['wildcard, no label', 'https://notion.com/x', ['a https://*.notion.com/mcp'], null],
    ['wildcard, two labels', 'https://a.b.notion.com/x', ['a https://*.notion.com/mcp'], null],
    ['wildcard of another domain', 'https://mcp.notion.com.evil.example/', ['a https://*.notion.com/mcp'], null],
    ['wildcard, an empty label', 'https://.notion.com/x', ['a https://*.notion.com/mcp'], null],
    ['wildcard, the pattern itself', 'https://*.notion.com/x', ['a https://*.notion.com/mcp'], null],
    ['a wildcard that fits, where the exact one does not', 'https://mcp.notion.com/b', ['a https://*.notion.com/', 'a https://mcp.notion.com/a'], 'a https://*.notion.com/'],
    ['exact before wildcard', 'https://mcp.notion.com/mcp', ['a https://*.notion.com/mcp', 'a https://mcp.notion.com/mcp'], 'a https://mcp.notion.com/mcp'],
    ['exact before wildcard with a longer path', 'https://mcp.notion.com/a/b', ['a https://*.notion.com/a/b', 'a https://mcp.notion.com/a'], 'a https://mcp.notion.com/a'],
    ['longest path', 'https://h.example/a/b/c', ['a https://h.example/a', 'a https://h.example/a/b', 'a https://h.example/'], 'a https://h.example/a/b'],
    ['whole segments only', 'https://h.example/ab', ['a https://h.example/a', 'a https://h.example/'], 'a https://h.example/'],
    ['path itself', 'https://h.example/a', ['a https://h.example/a', 'a https://h.example/b'], 'a https://h.example/a'],
    ['path with a slash more', 'https://h.example/a/', ['a https://h.example/a', 'a https://h.example/b'], 'a https://h.example/a'],
    ['none of several is a prefix', 'https://h.example/c', ['a https://h.example/a', 'a https://h.example/b'], null],
    ['then the next vault decides', 'https://h.example/c', ['a https://h.example/a', 'a https://h.example/b', 'b https://h.example/x'], 'b https://h.example/x'],
    ['dot segments are resolved first', 'https://h.example/a/../b', ['a https://h.example/a', 'a https://h.example/b'], 'a https://h.example/b'],
    ['case of the path counts', 'https://h.example/A', ['a https://h.example/a', 'a https://h.example/b'], null],
    ['two that differ in the query only: always the same', 'https://h.example/a', ['a https://h.example/a?y=1', 'a https://h.example/a?x=1'], 'a https://h.example/a?x=1'],
    ['first vault first', 'https://h.example/a', ['b https://h.example/a', 'a https://h.example/'], 'a https://h.example/'],
    ['an exact one in the second vault does not beat the first', 'https://mcp.notion.com/', ['a https://*.notion.com/', 'b https://mcp.notion.com/'], 'a https://*.notion.com/'],
    ['IPv6', 'http://[::1]:9000/x', ['a http://[::1]:9000/x'], 'a http://[::1]:9000/x'],
    ['an address has no labels to replace', 'http://10.0.0.1/', ['a http://10.0.0.2/'], null],
    ['a trailing dot is another host', 'https://mcp.linear.app./', ['a https://mcp.linear.app/'], null],
  ])('%s', (_what, target, kept, expected) => expect(matched(target, kept)).toBe(expected));

  test('comes from vaults of the run only, in its order', () => {
    const kept = ['a https://h.example/', 'b https://h.example/'];
    expect(matched('https://h.example/', kept, [B, A])).toBe('b https://h.example/');
    expect(matched('https://h.example/', kept, [])).toBeNull();
    expect(matched('https://h.example/', kept, ['vault-c'])).toBeNull();
  });
});
