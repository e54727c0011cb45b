import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import tls from 'node:tls';
import { inspect } from 'node:util';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { ResolveHost } from './checked-address.js';
import { selfSignedCertificate } from './testing/self-signed-certificate.js';
import { answering, dripping, flooding, serveTokens, type TokenServer } from './testing/token-server.js';
import { RefreshFailed, refreshTokens, type RefreshOptions, type RefreshRequest } from './token-endpoint.js';

const TOKENS = '{"access_token":"new-access","refresh_token":"new-refresh","token_type":"Bearer","expires_in":3600}';
const FORM = 'grant_type=refresh_token&refresh_token=planted-refresh&client_id=client%3A1';
const TOO_LATE = 'The token endpoint did not answer in time';
const BROKEN = 'The connection to the token endpoint failed';
const UNTRUSTED = "The token endpoint's certificate is not trusted";

const here: ResolveHost = () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]);
const servers: TokenServer[] = [];

/** A connection that is left open keeps its server from closing, so each test proves that none is. */
afterEach(async () => {
  jest.restoreAllMocks();
  await Promise.all(servers.splice(0).map(server => server.close()));
});

const serve = async (answer: (socket: Socket) => void, options?: Parameters<typeof serveTokens>[1]): Promise<TokenServer> => {
  const server = await serveTokens(answer, options);
  servers.push(server);
  return server;
};

const refresh = (tokenEndpoint: string, options: Partial<RefreshOptions> = {}, request: Partial<RefreshRequest> = {}) =>
  refreshTokens({ tokenEndpoint, tokenEndpointAuth: 'none', clientId: 'client:1', clientSecret: 'planted-secret', refreshToken: 'planted-refresh', ...request }, { allowPrivate: true, ...options });

const failureOf = (refreshed: Promise<unknown>): Promise<RefreshFailed> =>
  refreshed.then(
    () => Promise.reject(new Error('did not fail')),
    (error: unknown) => (error instanceof RefreshFailed ? error : Promise.reject(error)),
  );

describe('refreshing tokens', () => {
  test('posts the form on a connection of its own and gives the tokens', async () => {
    const { port, received } = await serve(answering(TOKENS));
    await expect(refresh(`http://tokens.example:${port}/oauth/token?tenant=a%20b#part`, { resolve: here, now: () => Date.UTC(2030, 0, 1) })).resolves.toEqual({
      accessToken: 'new-access',
      refreshToken: 'new-refresh',
      tokenType: 'Bearer',
      expiresAt: '2030-01-01T01:00:00.000Z',
    });
    const [head = '', body] = received.join('').split('\r\n\r\n');
    expect(body).toBe(FORM);
    expect(head.split('\r\n').sort()).toEqual([
      `Connection: close`,
      `Host: tokens.example:${port}`,
      'POST /oauth/token?tenant=a%20b HTTP/1.1',
      'accept-encoding: identity',
      'accept: application/json',
      `content-length: ${FORM.length}`,
      'content-type: application/x-www-form-urlencoded',
      'user-agent: gatehouse',
    ]);
  });

  test('tries the next address of a name where one does not connect, and posts once', async () => {
    const { port, received } = await serve(answering(TOKENS));
    // Nobody listens at the first two; the second cannot even be reached everywhere.
    const resolve = async () => [{ address: '127.0.0.9', family: 4 }, { address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }];
    await expect(refresh(`http://tokens.example:${port}/token`, { resolve })).resolves.toMatchObject({ accessToken: 'new-access' });
    expect(received.filter(text => text !== '')).toHaveLength(1);
  });

  test.each([
    ['client_secret_post', `${FORM}&scope=a+b&resource=https%3A%2F%2Fapi.example&client_secret=planted-secret`, undefined],
    ['client_secret_basic', `${FORM}&scope=a+b&resource=https%3A%2F%2Fapi.example`, 'client%3A1:planted-secret'],
    ['none', `${FORM}&scope=a+b&resource=https%3A%2F%2Fapi.example`, undefined],
  ] as const)('authenticates the client by %s', async (tokenEndpointAuth, form, credentials) => {
    const { port, received } = await serve(answering(TOKENS));
    // User info of the URL is no client authentication.
    await refresh(`http://user:pass@127.0.0.1:${port}/`, {}, { tokenEndpointAuth, scope: 'a b', resource: 'https://api.example' });
    const [head = '', body = ''] = received.join('').split('\r\n\r\n');
    expect([...new URLSearchParams(body)].sort()).toEqual([...new URLSearchParams(form)].sort());
    expect(body).toHaveLength(form.length);
    const authorization = /^authorization: Basic (.*)$/im.exec(head)?.[1];
    expect(authorization && Buffer.from(authorization, 'base64').toString()).toBe(credentials);
  });

  test('takes an answer in chunks', async () => {
    const chunked = (socket: Socket) => void socket.end(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n${TOKENS.slice(0, 5)}\r\n${(TOKENS.length - 5).toString(16)}\r\n${TOKENS.slice(5)}\r\n0\r\n\r\n`);
    const { port } = await serve(chunked);
    await expect(refresh(`http://127.0.0.1:${port}/`)).resolves.toMatchObject({ accessToken: 'new-access' });
  });

  const hasIPv6 = Object.values(networkInterfaces()).some(addresses => addresses?.some(({ address }) => address === '::1'));
  (hasIPv6 ? test : test.skip)('speaks IPv6', async () => {
    const { port, received } = await serve(answering(TOKENS), { host: '::1' });
    await expect(refresh(`http://[::1]:${port}/`)).resolves.toMatchObject({ accessToken: 'new-access' });
    expect(received.join('')).toContain(`Host: [::1]:${port}\r\n`);
  });

  test.each(['', 'tokens.example/token', '/token', 'ftp://tokens.example', 'file:///etc/passwd', 'http://', 'http://1.2.3.4.5'])('goes nowhere for %j', async tokenEndpoint => {
    const resolve = jest.fn(here);
    expect((await failureOf(refresh(tokenEndpoint, { resolve }))).message).toBe('The token endpoint is not an http or https URL');
    expect(resolve).not.toHaveBeenCalled();
  });
});

describe('where a refresh may go', () => {
  test('not to a private address, by number or by name, unless that is allowed', async () => {
    const { port, received } = await serve(answering(TOKENS));
    for (const host of ['127.0.0.1', '127.1', '2130706433', '0x7f000001', '[::ffff:7f00:1]', 'localhost', 'tokens.example']) {
      const resolve: Partial<RefreshOptions> = host === 'tokens.example' ? { resolve: here } : {};
      expect((await failureOf(refresh(`http://${host}:${port}/`, { allowPrivate: false, ...resolve }))).message).toBe("The token endpoint's address is not one that may be connected to");
    }
    expect(received).toEqual([]);
    await refresh(`http://2130706433:${port}/`);
    await refresh(`http://[::ffff:7f00:1]:${port}/`);
    expect(received).toHaveLength(2);
  });

  test('a name that is rebound after the check changes nothing: one look-up, and that address is the one', async () => {
    const { port, received } = await serve(answering(TOKENS));
    const resolve = jest.fn(here).mockResolvedValueOnce([{ address: '127.0.0.1', family: 4 }]).mockResolvedValue([{ address: '169.254.169.254', family: 4 }]);
    await refresh(`http://rebound.example:${port}/`, { resolve });
    expect(resolve).toHaveBeenCalledTimes(1);
    expect(received).toHaveLength(1);

    // The next refresh is checked anew.
    await failureOf(refresh(`http://rebound.example:${port}/`, { resolve }));
    expect(resolve).toHaveBeenCalledTimes(2);
    expect(received).toHaveLength(1);
  });

  test.each([301, 302, 303, 307, 308])('not to where a redirect with status %i points', async status => {
    const { port: elsewhere, received } = await serve(answering(TOKENS));
    const { port } = await serve(answering(TOKENS, { status, headers: `location: http://127.0.0.1:${elsewhere}/\r\n` }));
    expect((await failureOf(refresh(`http://127.0.0.1:${port}/`))).message).toBe(`The token endpoint answered with a redirect (status ${status}), which is not followed`);
    expect(received).toEqual([]);
  });
});

describe('a token endpoint that misbehaves', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';

  test.each<[string, (socket: Socket) => void]>([
    ['never answers', () => undefined],
    ['drips its status line', dripping('HTTP/1.1 200 ', 'K')],
    ['drips headers', dripping(HEAD, 'x: y\r\n')],
    ['drips its body', dripping(`${HEAD}content-length: 60000\r\n\r\n{`, ' ')],
    ['drips chunks', dripping(`${HEAD}transfer-encoding: chunked\r\n\r\n`, '1\r\n \r\n')],
    ['promises without end', dripping('', 'HTTP/1.1 100 Continue\r\n\r\n')],
    ['ends short of its length and stays', socket => void socket.write(`${HEAD}content-length: 1000\r\n\r\n${TOKENS}`)],
  ])('and %s is over at the deadline', async (_name, answer) => {
    const { port } = await serve(answer);
    expect(await failureOf(refresh(`http://127.0.0.1:${port}/`, { timeoutMs: 100 }))).toMatchObject({ message: TOO_LATE, permanent: false });
  });

  test('and has no TLS to offer is over at the deadline', async () => {
    const { port } = await serve(() => undefined);
    expect((await failureOf(refresh(`https://127.0.0.1:${port}/`, { timeoutMs: 100 }))).message).toBe(TOO_LATE);
  });

  test('and has no resolver that answers is over at the deadline', async () => {
    expect((await failureOf(refresh('https://tokens.example/', { timeoutMs: 20, resolve: () => new Promise(() => undefined) }))).message).toBe(TOO_LATE);
  });

  test.each<[string, string, (socket: Socket) => void]>([
    ['sends an endless body', 'The token endpoint answered with too much', flooding(`${HEAD}transfer-encoding: chunked\r\n\r\n`, `1000\r\n${'z'.repeat(0x1000)}\r\n`)],
    ['sends an endless body to a refusal', 'The token endpoint refused with status 500', flooding('HTTP/1.1 500 No\r\n\r\n', 'z'.repeat(0x1000))],
    ['sends a body one byte too long', 'The token endpoint answered with too much', answering(TOKENS.padEnd(64 * 1024 + 1))],
    ['sends endless headers', BROKEN, flooding(HEAD, 'planted: value\r\n')],
    ['sends one endless header', BROKEN, flooding(`${HEAD}planted: `, 'y'.repeat(0x1000))],
    ['speaks another language', BROKEN, socket => void socket.end('SSH-2.0-planted\r\n')],
    ['hangs up', BROKEN, socket => socket.destroy()],
    ['hangs up amid headers', BROKEN, socket => void socket.end(`${HEAD}planted: `)],
    ['hangs up amid the body', BROKEN, socket => void socket.end(`${HEAD}content-length: 1000\r\n\r\n${TOKENS}`)],
    ['breaks its chunks', BROKEN, socket => void socket.end(`${HEAD}transfer-encoding: chunked\r\n\r\nplanted\r\n`)],
    ['upgrades', BROKEN, socket => void socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: planted\r\n\r\n')],
    ['sends no JSON', 'The token endpoint answered with something other than a JSON object', answering('planted')],
    ['sends nothing', 'The token endpoint answered with something other than a JSON object', answering('')],
    ['sends no access token', 'The token endpoint answered without a usable access token', answering('{"refresh_token":"planted"}')],
    ['refuses for ever', 'The token endpoint refused with status 400 (invalid_grant)', answering('{"error":"invalid_grant","error_description":"planted"}', { status: 400 })],
    ['refuses in its own words', 'The token endpoint refused with status 418', answering('{"error":"planted"}', { status: 418, headers: 'planted: planted\r\n' })],
  ])('and %s fails, and no secret is anywhere in the error', async (_name, message, answer) => {
    const { port } = await serve(answer);
    // Also as Node shows a buffer.
    const hex = Buffer.from('planted').toString('hex').replace(/(..)(?=.)/g, '$1 ');
    for (const tokenEndpointAuth of ['client_secret_basic', 'client_secret_post'] as const) {
      const failure = await failureOf(refresh(`http://127.0.0.1:${port}/planted?key=planted`, {}, { tokenEndpointAuth, clientId: 'planted-client' }));
      expect(failure).toMatchObject({ message, permanent: message.includes('invalid_grant') });
      const everything = inspect(failure, { depth: 10, showHidden: true, maxArrayLength: null, maxStringLength: null });
      for (const secret of ['planted', Buffer.from('planted-client:planted-secret').toString('base64'), hex]) expect(everything).not.toContain(secret);
    }
  });

  test('as long as the body may be is read', async () => {
    const { port } = await serve(answering(TOKENS.padEnd(64 * 1024)));
    await expect(refresh(`http://127.0.0.1:${port}/`)).resolves.toMatchObject({ accessToken: 'new-access' });
  });

  test('and is not there says only why to the log', async () => {
    const server = await serveTokens(answering(TOKENS));
    await server.close();
    expect(await failureOf(refresh(`http://127.0.0.1:${server.port}/`))).toMatchObject({ message: BROKEN, cause: new Error('ECONNREFUSED') });
  });

  test('can be given up, for the reason that is given', async () => {
    const abort = new AbortController();
    const { port, received } = await serve(() => abort.abort(new Error('service stops')));
    await expect(refresh(`http://127.0.0.1:${port}/`, { signal: abort.signal })).rejects.toThrow('service stops');
    expect(received).toHaveLength(1);

    await expect(refresh(`http://127.0.0.1:${port}/`, { signal: abort.signal })).rejects.toThrow('service stops');
    expect(received).toHaveLength(1);
  });
});

describe('a token endpoint with TLS', () => {
  const certificate = selfSignedCertificate('tokens.example');
  const trust = () => {
    const createContext = tls.createSecureContext;
    jest.spyOn(tls, 'createSecureContext').mockImplementation(options => createContext({ ...options, ca: certificate.cert }));
  };

  test('whose certificate nobody signed is refused before anything is said', async () => {
    const { port, received } = await serve(answering(TOKENS), { tls: certificate });
    expect(await failureOf(refresh(`https://tokens.example:${port}/`, { resolve: here }))).toMatchObject({ message: UNTRUSTED, cause: new Error('DEPTH_ZERO_SELF_SIGNED_CERT') });
    expect(received.join('')).toBe('');
  });

  test('is asked for by its name, at the address that was checked', async () => {
    const { port, serverNames } = await serve(answering(TOKENS), { tls: certificate });
    trust();
    await expect(refresh(`https://tokens.example:${port}/`, { resolve: here })).resolves.toMatchObject({ accessToken: 'new-access' });
    expect(serverNames).toEqual(['tokens.example']);
  });

  test.each(['other.example', '127.0.0.1'])('whose certificate is for another host than %s is refused', async host => {
    const { port, received } = await serve(answering(TOKENS), { tls: certificate });
    trust();
    expect(await failureOf(refresh(`https://${host}:${port}/`, { resolve: here }))).toMatchObject({ message: UNTRUSTED, cause: new Error('ERR_TLS_CERT_ALTNAME_INVALID') });
    expect(received.join('')).toBe('');
  });

  test('that is spoken to without it is no endpoint', async () => {
    const { port } = await serve(answering(TOKENS), { tls: certificate });
    expect((await failureOf(refresh(`http://127.0.0.1:${port}/`))).message).toBe(BROKEN);
  });
});
