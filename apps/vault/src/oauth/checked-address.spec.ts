import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { describe, expect, jest, test } from '@jest/globals';
import { answering, checkedAddresses, type ResolveHost, resolveHost } from './checked-address.js';

const PUBLIC = '93.184.216.34';
const found = (...addresses: string[]): LookupAddress[] => addresses.map(address => ({ address, family: isIP(address) }));
const resolver = (...answers: string[][]) => answers.reduce((mock, addresses) => mock.mockResolvedValueOnce(found(...addresses)), jest.fn<ResolveHost>());
const check = (url: string, resolve: ResolveHost, allowPrivate = false) => checkedAddresses(new URL(url), { allowPrivate, resolve, signal: new AbortController().signal });

const NOT_ALLOWED = { name: 'RefreshFailed', message: "The token endpoint's address is not one that may be connected to", permanent: false };

describe('checked address', () => {
  // What a URL makes of each spelling is the address it connects to.
  test.each([
    ...['http://127.0.0.1', 'http://127.1', 'http://127.0.0.1.', 'http://2130706433', 'http://0x7f000001', 'http://0x7f.1', 'http://0177.0.0.1', 'http://017700000001', 'http://0X7F.0.0.0x1', 'http://%31%32%37.0.0.1', 'http://１２７.0.0.1', 'http://127。0。0。1'],
    ...['http://[::1]', 'http://[0:0:0:0:0:0:0:1]', 'http://[::ffff:127.0.0.1]', 'http://[::ffff:7f00:1]', 'http://[64:ff9b::7f00:1]', 'http://10.1', 'http://0xa000001', 'http://192.168.1', 'https://[fd00::1]:8443/token', 'http://user@127.0.0.1'],
  ])('%s is private, and nobody is asked about it', async url => {
    const resolve = resolver();
    await expect(check(url, resolve)).rejects.toMatchObject(NOT_ALLOWED);
    expect((await check(url, resolve, true))[0]?.address).toMatch(/^(127\.0\.0\.1|10\.0\.0\.1|192\.168\.0\.1|::1|fd00::1|::ffff:7f00:1|64:ff9b::7f00:1)$/);
    expect(resolve).not.toHaveBeenCalled();
  });

  test.each([
    ...['http://0.0.0.0', 'http://0', 'http://0x0', 'http://[::]', 'http://169.254.169.254/latest/meta-data', 'http://2852039166', 'http://0xa9fea9fe', 'http://0251.0376.0251.0376', 'http://[::ffff:a9fe:a9fe]', 'http://[64:ff9b::a9fe:a9fe]'],
    ...['http://[::169.254.169.254]', 'http://[2002:a9fe:a9fe::]', 'http://[fe80::1]', 'http://[fd00:ec2::254]', 'http://255.255.255.255', 'http://[ff02::1]'],
  ])('%s is refused even where private ones are allowed', async url => {
    const resolve = resolver();
    await expect(check(url, resolve, true)).rejects.toMatchObject(NOT_ALLOWED);
    expect(resolve).not.toHaveBeenCalled();
  });

  test('a name is asked for once, and its addresses are those', async () => {
    const resolve = resolver([PUBLIC, '2606:4700::1'], ['127.0.0.1']);
    await expect(check('https://tokens.example/token?x', resolve)).resolves.toEqual(found(PUBLIC, '2606:4700::1'));
    expect(resolve.mock.calls).toEqual([['tokens.example']]);
  });

  test.each([[['127.0.0.1']], [[PUBLIC, '10.0.0.1']], [['::1', PUBLIC]], [[PUBLIC, '::ffff:7f00:1']], [[PUBLIC, PUBLIC, '169.254.169.254']], [[PUBLIC, 'fe80::1%eth0']], [[PUBLIC, 'not an address']]])(
    'a name with the addresses %j is refused as a whole',
    async addresses => {
      await expect(check('https://tokens.example', resolver(addresses))).rejects.toMatchObject(NOT_ALLOWED);
    },
  );

  test('localhost is what this machine says it is', async () => {
    await expect(check('http://localhost', resolveHost)).rejects.toMatchObject(NOT_ALLOWED);
    expect(['127.0.0.1', '::1']).toContain((await check('http://localhost', resolveHost, true))[0]?.address);
  });

  test('a name without an address, or that nobody knows, is told apart without quoting it', async () => {
    await expect(check('https://tokens.example', resolver([]))).rejects.toMatchObject({ message: "The token endpoint's host has no address" });
    const unknown = Object.assign(new Error('getaddrinfo ENOTFOUND tokens.example'), { code: 'ENOTFOUND', hostname: 'tokens.example' });
    await expect(check('https://tokens.example', () => Promise.reject(unknown))).rejects.toMatchObject({ message: "The token endpoint's host could not be resolved", cause: new Error('ENOTFOUND') });
  });

  test('a resolver is not waited for any longer than the signal says', async () => {
    const end = new AbortController();
    const checked = checkedAddresses(new URL('https://tokens.example'), { allowPrivate: false, resolve: () => new Promise(() => undefined), signal: end.signal });
    end.abort(new Error('enough'));
    await expect(checked).rejects.toThrow('enough');
  });

  test('the lookup of a connection answers nothing else, in either form it is asked', async () => {
    const lookup = answering(found(PUBLIC, '2606:4700::1'));
    const asked = (all: boolean) => new Promise(resolve => lookup('rebound.example', { all }, (...answer) => resolve(answer)));
    await expect(asked(false)).resolves.toEqual([null, PUBLIC, 4]);
    await expect(asked(true)).resolves.toEqual([null, found(PUBLIC, '2606:4700::1')]);
  });
});
