import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { normaliseServerUrl, SERVER_URL_MAX, serverUrl } from './normalise-url.js';

const NO_URL = 'must be an http or https URL';
const USER_INFO = 'must not contain user info';
const LINK_LOCAL = 'must not name a link-local address';
const ASTERISK = 'may have a * only as its whole first label';
const SUFFIX = 'must not have a wildcard over a public suffix';

describe('normalised', () => {
  test.each([
    ['https://MCP.Linear.App/mcp/', 'https://mcp.linear.app/mcp', 'mcp.linear.app'],
    ['https://mcp.linear.app:443/mcp', 'https://mcp.linear.app/mcp', 'mcp.linear.app'],
    ['http://mcp.linear.app:80/mcp//', 'http://mcp.linear.app/mcp', 'mcp.linear.app'],
    ['https://mcp.linear.app', 'https://mcp.linear.app/', 'mcp.linear.app'],
    ['https://mcp.linear.app/mcp?b=2&a=1', 'https://mcp.linear.app/mcp?a=1&b=2', 'mcp.linear.app'],
    ['https://mcp.linear.app/mcp?b=2&a=1&a=0', 'https://mcp.linear.app/mcp?a=1&a=0&b=2', 'mcp.linear.app'],
    ['https://mcp.linear.app/mcp#frag', 'https://mcp.linear.app/mcp', 'mcp.linear.app'],
    ['https://mcp.linear.app/MCP', 'https://mcp.linear.app/MCP', 'mcp.linear.app'],
    ['https://mcp.linear.app:8443/mcp', 'https://mcp.linear.app:8443/mcp', 'mcp.linear.app'],
    ['https://mcp.linear.app/a/../b/', 'https://mcp.linear.app/b', 'mcp.linear.app'],
    ['https://bücher.example/mcp', 'https://xn--bcher-kva.example/mcp', 'xn--bcher-kva.example'],
    ['https://mcp.linear.app./mcp', 'https://mcp.linear.app./mcp', 'mcp.linear.app.'],
    ['https://h/mcp?q=a%20b', 'https://h/mcp?q=a+b', 'h'],
    ['https://h/mcp?', 'https://h/mcp', 'h'],
    ['https://h/mcp?x', 'https://h/mcp?x=', 'h'],
    [' https://h.example/x ', 'https://h.example/x', 'h.example'],
    ['https://[::1]:9000/x/', 'https://[::1]:9000/x', '[::1]'],
    ['https://*.notion.com/mcp', 'https://*.notion.com/mcp', '*.notion.com'],
    ['http://10.0.0.1/a', 'http://10.0.0.1/a', '10.0.0.1'],
  ])('%s', (given, normalized, hostPattern) => {
    expect(normaliseServerUrl(given)).toEqual({ normalized, hostPattern });
  });

  test.each([
    ['another port of http', 'http://h:443/', 'http://h:443/', 'h'],
    ['the port 0', 'https://h:0/', 'https://h:0/', 'h'],
    ['an upper-case scheme', 'HTTPS://H/', 'https://h/', 'h'],
    ['dots spelt as escapes', 'https://h/a/%2e%2E/b/%2e', 'https://h/b', 'h'],
    ['slashes spelt as escapes are text', 'https://h/a%2F/', 'https://h/a%2F', 'h'],
    ['slashes alone', 'https://h////', 'https://h/', 'h'],
    ['slashes inside', 'https://h//a//b//', 'https://h//a//b', 'h'],
    ['backslashes', 'https:\\\\h\\a\\', 'https://h/a', 'h'],
    ['tabs and line breaks inside', 'https://mcp.\tlin\near.app/m\r\ncp', 'https://mcp.linear.app/mcp', 'mcp.linear.app'],
    ['an asterisk spelt as an escape', 'https://%2A.notion.com/', 'https://*.notion.com/', '*.notion.com'],
    ['a full-width asterisk', 'https://＊.notion.com/', 'https://*.notion.com/', '*.notion.com'],
    ['a wildcard over a name with a root dot', 'https://*.example.com./', 'https://*.example.com./', '*.example.com.'],
    ['a wildcard under an exception of the suffix list', 'https://*.city.kawasaki.jp/', 'https://*.city.kawasaki.jp/', '*.city.kawasaki.jp'],
    ['asterisks in path and query', 'https://h/*?*=*', 'https://h/*?*=*', 'h'],
    ['an @ in path, query and fragment', 'https://h/@a?b=@#@', 'https://h/@a?b=%40', 'h'],
    ['names of parameters in code unit order', 'https://h/?é=1&a=2&Z=3', 'https://h/?Z=3&a=2&%C3%A9=1', 'h'],
    ['IPv6 in its shortest form', 'https://[2001:DB8:0:0:0:0:0:1]/', 'https://[2001:db8::1]/', '[2001:db8::1]'],
    ['an address as one number', 'http://2130706433/', 'http://127.0.0.1/', '127.0.0.1'],
    ['half a surrogate pair', 'https://h/\ud800?\udfff', 'https://h/%EF%BF%BD?%EF%BF%BD=', 'h'],
  ])('%s', (_what, given, normalized, hostPattern) => {
    expect(normaliseServerUrl(given)).toEqual({ normalized, hostPattern });
  });
});

describe('refused', () => {
  test.each([
    ['https://u:p@h/mcp', USER_INFO],
    ['https://u@h/', USER_INFO],
    ['https://:p@h/', USER_INFO],
    ['https://@h/', USER_INFO],
    ['https://:@h/', USER_INFO],
    ['https:@h/', USER_INFO],
    ['https:\\\\@h/', USER_INFO],
    ['https://\t@h/', USER_INFO],
    ['ht\ntps:/\t/@h/', USER_INFO],
    ['\u0001https://@h/', USER_INFO],
    ['ftp://h/x', NO_URL],
    ['mailto:a@b.c', NO_URL],
    ['javascript:alert(1)', NO_URL],
    ['file:///etc/passwd', NO_URL],
    ['blob:https://h/x', NO_URL],
    ['not a url', NO_URL],
    ['//h/x', NO_URL],
    ['https://', NO_URL],
    ['https://h:65536/', NO_URL],
    ['https://a b/', NO_URL],
    ['https://1.2.3.4.5/', NO_URL],
    ['https://[::1/', NO_URL],
    ['https://[fe80::1%25eth0]/', NO_URL],
    ['', NO_URL],
    ['   ', NO_URL],
    ['https://a*.example.com/', ASTERISK],
    ['https://*a.example.com/', ASTERISK],
    ['https://a.*.example.com/', ASTERISK],
    ['https://*.*.example.com/', ASTERISK],
    ['https://**.example.com/', ASTERISK],
    ['https://example.*/', ASTERISK],
    ['https://*/', ASTERISK],
    ['https://*./', ASTERISK],
    ['https://*..com/', ASTERISK],
    ['https://*.com../', ASTERISK],
    ['https://*.com/', SUFFIX],
    ['https://*.COM./', SUFFIX],
    ['https://%2A.com/', SUFFIX],
    ['https://*.co.uk/', SUFFIX],
    ['https://*.github.io/', SUFFIX],
    ['https://*.公司.香港/', SUFFIX],
    ['https://*.xn--55qx5d.xn--j6w193g/', SUFFIX],
    ['https://*.kawasaki.jp/', SUFFIX],
    ['https://*.anybody.kawasaki.jp/', SUFFIX],
    ['https://*.localhost/', SUFFIX],
    ['http://169.254.169.254/latest/meta-data', LINK_LOCAL],
    ['http://169.254.0.0/', LINK_LOCAL],
    ['http://169.254.255.255./', LINK_LOCAL],
    ['http://2852039166/', LINK_LOCAL],
    ['http://0xa9fea9fe/', LINK_LOCAL],
    ['http://0251.0376.0251.0376/', LINK_LOCAL],
    ['http://169.16689662/', LINK_LOCAL],
    ['http://１６９。254。169。254/', LINK_LOCAL],
    ['http://[::ffff:169.254.169.254]/', LINK_LOCAL],
    ['http://[::ffff:a9fe:0]/', LINK_LOCAL],
    ['http://[::169.254.169.254]/', LINK_LOCAL],
    ['http://[64:ff9b::169.254.169.254]/', LINK_LOCAL],
    ['http://[fe80::1]/', LINK_LOCAL],
    ['http://[FE80:0:0:0:0:0:0:1]/', LINK_LOCAL],
    ['http://[febf:ffff::]:8080/', LINK_LOCAL],
  ])('%s', (given, message) => {
    expect(() => normaliseServerUrl(given)).toThrow(new TypeError(message));
    expect(serverUrl(given)).toBe(message);
  });

  test.each(['http://169.253.0.1/', 'http://169.255.0.1/', 'http://169.254.1.1.example/', 'http://[fec0::1]/', 'http://[fe7f::1]/', 'http://[::ffff:169.253.1.1]/', 'https://fe80.example/'])('%s is no link-local address', given => {
    expect(serverUrl(given)).toBeNull();
  });
});

describe('as a field', () => {
  const ofLength = (length: number): string => `https://h/${'x'.repeat(length - 10)}`;

  test.each([
    ['the longest', ofLength(SERVER_URL_MAX), null],
    ['one longer', ofLength(SERVER_URL_MAX + 1), 'must have at most 2048 characters'],
    ['NUL', 'https://h/\0', 'must not contain NUL'],
    ['no text', 7, 'must be a string'],
    ['null', null, 'must be a string'],
    ['an object with a text', { toString: () => 'https://h/' }, 'must be a string'],
  ])('%s', (_what, given, problem) => {
    expect(serverUrl(given)).toBe(problem);
  });
});

/** Texts that are URLs, nearly URLs, or made of their parts in any order. */
const nearlyUrls = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.webUrl({ withQueryParameters: true, withFragments: true, validSchemes: ['http', 'https', 'ftp'] }),
  fc
    .array(
      fc.oneof(
        fc.constantFrom('https://', 'http://', 'HTTPS:', '//', '\\', '/', '*', '*.', '.', '..', '%2e', '%2A', '@', ':', ':443', ':80', '?', '&', '=', '+', '%20', '%', '#', ' ', '\t', '\n', '\0', '\u0001', 'a', 'B', 'ü', 'com', 'github.io', 'example', '169.254.1.1', '2852039166', '[fe80::1]', '[::1]', 'xn--', '\ud800'),
        fc.string({ unit: 'grapheme', maxLength: 3 }),
      ),
      { maxLength: 12 },
    )
    .map(parts => parts.join('')),
  fc.array(fc.constantFrom('*', '*.', 'a', '.', 'com', '/', '//', '?', 'b=', '&', 'a', '=', '%2e', ':80', '#', 'É', '+', '%00'), { maxLength: 12 }).map(parts => `https://h${parts.join('')}`),
);

test('normalising twice is normalising once, and a refusal is one of a few fixed texts', () => {
  fc.assert(
    fc.property(nearlyUrls, text => {
      let once: ReturnType<typeof normaliseServerUrl>;
      try {
        once = normaliseServerUrl(text);
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError);
        expect([NO_URL, USER_INFO, LINK_LOCAL, ASTERISK, SUFFIX]).toContain((error as TypeError).message);
        return;
      }
      expect(normaliseServerUrl(once.normalized)).toEqual(once);
      expect(new URL(once.normalized).hostname).toBe(once.hostPattern);
    }),
    { numRuns: 20_000 },
  );
});
