import { connect } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { rawHttp, type RawAnswer } from '@gatehouse/testing';
import { generateApiKey } from '../keys/api-key.js';
import { type GatewayFixture, type MadeKey, startGateway } from '../testing/gateway.fixture.js';

let gateway: GatewayFixture;
let key: MadeKey;
beforeAll(async () => {
  gateway = await startGateway({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000' });
  key = await gateway.makeKey();
});
afterAll(async () => gateway.close());

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly authorization?: string | null;
}

const send = async ({ method = 'GET', path = '/v1/me', headers = {}, body = '', authorization = key.authorization }: Sent): Promise<RawAnswer> => {
  const bytes = Buffer.from(body);
  const lines = Object.entries({
    host: 'gateway',
    ...(authorization === null ? {} : { authorization }),
    ...(bytes.length > 0 ? { 'content-length': String(bytes.length) } : {}),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return rawHttp(gateway.port, Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), bytes]));
};
const json = { 'content-type': 'application/json' };
const post = async (body: string | Buffer, headers: Record<string, string> = json): Promise<RawAnswer> => send({ method: 'POST', path: '/v1/sandboxes', body, headers });

const expectFailure = (answer: RawAnswer, status: number, code: string, message: string): void => {
  expect(JSON.parse(answer.body)).toEqual({ error: { code, message, status } });
  expect(answer.status).toBe(status);
  expect(answer.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', 'access-control-allow-origin': '*', 'x-request-id': expect.stringMatching(/^[A-Za-z0-9._-]{8,64}$/) });
};

describe('bytes that are not a request', () => {
  test.each([
    ['garbage', 'hello\r\n\r\n', 'The request is not readable as HTTP'],
    ['an unknown method', 'FOO /v1/me HTTP/1.1\r\nhost: h\r\n\r\n', 'The request is not readable as HTTP'],
    ['a TLS hello', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]), 'The request is not readable as HTTP'],
    ['a header block of 20 KiB', `GET /v1/me HTTP/1.1\r\nhost: h\r\nx-big: ${'a'.repeat(20 * 1024)}\r\n\r\n`, 'Request header block exceeds 16 KiB'],
    ['two lengths', 'POST /v1/sandboxes HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n', 'The request is not readable as HTTP'],
    ['CONNECT', 'CONNECT host:443 HTTP/1.1\r\nhost: host:443\r\n\r\n', 'The request is not readable as HTTP'],
  ])('%s: 400, and the connection is closed', async (_name, bytes, message) => {
    const answer = await rawHttp(gateway.port, bytes);
    expectFailure(answer, 400, 'invalid_request', message);
    expect(answer.headers['connection']).toBe('close');
  });

  test('HTTP/1.1 without Host is refused', async () => {
    const answer = await rawHttp(gateway.port, 'GET /v1/me HTTP/1.1\r\n\r\n');
    expectFailure(answer, 400, 'invalid_request', 'The Host header is missing');
    expect(answer.headers).toMatchObject({ connection: 'close', 'cache-control': 'no-store' });
  });

  test('comes after the answers still owed on the connection, once', async () => {
    const requests = `GET /v1/me HTTP/1.1\r\nhost: h\r\nauthorization: ${key.authorization}\r\n\r\n`.repeat(2);
    const statuses = await new Promise<string[]>((resolve, reject) => {
      let text = '';
      const socket = connect(gateway.port, '127.0.0.1', () => socket.write(`${requests}garbage\r\n\r\nmore garbage\r\n\r\n`));
      socket.on('data', chunk => (text += chunk.toString()));
      socket.on('error', reject);
      socket.on('close', () => resolve([...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status = '']) => status)));
    });
    expect(statuses).toEqual(['200', '200', '400']);
  });

  test('an expectation nobody knows does not change the answer', async () => {
    expect((await send({ headers: { expect: 'something' } })).status).toBe(200);
  });
});

describe('authentication', () => {
  const refused = 'Invalid or missing API key';
  test.each([
    ['no header', null],
    ['another scheme', 'Basic abc'],
    ['an empty credential', 'Bearer '],
    ['an unknown prefix', 'Bearer sk_abc'],
    ['a key with a wrong checksum', `Bearer gate_sk_${'0'.repeat(49)}`],
    ['a well-formed key nobody has', `Bearer ${generateApiKey()}`],
    ['something after the credential', 'Bearer a b'],
  ])('%s: 401', async (_name, authorization) => {
    const answer = await send({ authorization });
    expectFailure(answer, 401, 'unauthorized', refused);
    expect(answer.headers['ratelimit-policy']).toMatch(/^"auth-failure";/);
  });

  test('the scheme in any case and white space around the credential are fine', async () => {
    expect((await send({ authorization: `bEaReR   ${key.secret}  ` })).status).toBe(200);
  });

  test('comes before everything: route, method, percent-encoding, body', async () => {
    for (const sent of [{ path: '/v1/nowhere' }, { path: '/v1' }, { method: 'PATCH' }, { path: '/v1/sandboxes/%zz' }, { path: '/%761/me' }, { path: '/%761/%zz' }, { path: 'http://h/v1/nowhere' }, { path: 'http://h/v1/sandboxes/%zz' }, { path: '/v1#x' }, { path: '/v1;x' }, { method: 'POST', path: '/v1/sandboxes', body: '{not json', headers: json }]) {
      expectFailure(await send({ ...sent, authorization: null }), 401, 'unauthorized', refused);
    }
  });

  test('an expired key says so; a revoked one stops on the very next request, cached or not', async () => {
    const expired = await gateway.makeKey({ expiresAt: new Date(Date.now() - 1_000) });
    expectFailure(await send({ authorization: expired.authorization }), 401, 'unauthorized', 'API key has expired');

    const revoked = await gateway.makeKey();
    expect((await send({ authorization: revoked.authorization })).status).toBe(200);
    await gateway.revoke(revoked);
    expectFailure(await send({ authorization: revoked.authorization }), 401, 'unauthorized', refused);
  });

  test('a revoked key stays revoked when Redis loses its data', async () => {
    const revoked = await gateway.makeKey();
    expect((await send({ authorization: revoked.authorization })).status).toBe(200);
    await gateway.revoke(revoked);
    // All of this installation's keys are gone from the store, as after FLUSHALL or a restart that nobody noticed.
    const keys = await gateway.redis.keys(`${gateway.namespace}:gateway:*`);
    await gateway.redis.del(...keys);
    expectFailure(await send({ authorization: revoked.authorization }), 401, 'unauthorized', refused);
    expect((await send({})).status).toBe(200);
  });

  test('no other header, cookie or parameter is looked at', async () => {
    const { secret } = key;
    expectFailure(await send({ authorization: null, path: `/v1/me?api_key=${secret}`, headers: { 'x-api-key': secret, cookie: `key=${secret}` } }), 401, 'unauthorized', refused);
  });

  test('secrets and hashes of keys are never logged', () => {
    expect(gateway.log.join('')).not.toContain(key.secret);
  });
});

describe('routes', () => {
  test.each([
    ['GET', '/v1/nowhere'],
    ['POST', '/v1/me'],
    ['GET', '/V1/me'],
    ['GET', '/v1/me//'],
    ['GET', '/v1'],
    ['GET', '/'],
    ['GET', '/nowhere'],
    ['TRACE', '/v1/me'],
    ['PROPFIND', '/v1/me'],
  ])('%s %s: 404', async (method, path) => {
    expectFailure(await send({ method, path }), 404, 'not_found', 'Route not found');
  });

  test('one trailing slash is ignored, and segments are decoded once', async () => {
    expect((await send({ path: '/v1/me/' })).status).toBe(200);
    expect((await send({ path: '/%761/%6de' })).status).toBe(200);
  });

  test.each(['/v1/sandboxes/%zz', '/v1/sandboxes/%c3%28', '/v1/sandboxes?agent=%zz', '/v1/me?x=%c3%28'])('%s: bad percent-encoding', async path => {
    expectFailure(await send({ path }), 400, 'invalid_request', 'Malformed percent-encoding in URL');
  });

  test('HEAD is GET without a body', async () => {
    const head = await fetch(`${gateway.url}/v1/me`, { method: 'HEAD', headers: { authorization: key.authorization } });
    expect(head.status).toBe(200);
    expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength((await send({})).body)));
    expect(await head.text()).toBe('');
  });
});

describe('scopes', () => {
  test('a lacking scope is named, before the body is looked at', async () => {
    const reader = await gateway.makeKey({ scopes: ['sandboxes:read'] });
    const answer = await send({ method: 'POST', path: '/v1/sandboxes', body: '{not json', headers: json, authorization: reader.authorization });
    expectFailure(answer, 403, 'forbidden', 'Missing scope: sandboxes:write');
    expect((await send({ authorization: reader.authorization })).status).toBe(200);
  });
});

describe('bodies', () => {
  const big = `{"agent":"${'a'.repeat(11 * 1024 * 1024)}"}`;
  test.each([
    ['not JSON', '{not json', json, 'Request body is not valid JSON'],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), json, 'Request body is not valid JSON'],
    ['an array', '[]', json, 'Request body must be a JSON object'],
    ['a text', '"x"', json, 'Request body must be a JSON object'],
    ['null', 'null', json, 'Request body must be a JSON object'],
    ['11 MiB', big, json, 'Request body exceeds 10 MiB'],
    ['11 MiB after decompression', gzipSync(big), { ...json, 'content-encoding': 'gzip' }, 'Request body exceeds 10 MiB'],
    ['a broken encoding', Buffer.from('not gzip'), { ...json, 'content-encoding': 'gzip' }, 'Request body is not valid JSON'],
    ['another content type', '{}', { 'content-type': 'text/plain' }, 'Content-Type must be application/json'],
    ['no content type', '{}', {}, 'Content-Type must be application/json'],
    ['an encoding named like something every object has', '{}', { ...json, 'content-encoding': 'constructor' }, 'Unsupported content encoding'],
    ['a content type that is none', '{}', { 'content-type': ';' }, 'Content-Type must be application/json'],
    ['no body but a content type that is none', '', { 'content-type': 'x' }, 'agent is required'],
    ['an unknown encoding', '{}', { ...json, 'content-encoding': 'zstd' }, 'Unsupported content encoding'],
    ['an unknown charset', '{}', { 'content-type': 'application/json; charset=latin1' }, 'Unsupported charset'],
    ['no body', '', {}, 'agent is required'],
    ['no body but a content type', '', json, 'agent is required'],
    ['another content type without a body', '', { 'content-type': 'text/plain' }, 'agent is required'],
    ['missing and wrong fields together', '{"timeoutMs":1,"metadata":null}', json, 'agent is required; timeoutMs must be an integer from 1000 to 86400000; metadata must be an object'],
  ])('%s: 400 invalid_request', async (_name, body, headers, message) => {
    expectFailure(await post(body, headers), 400, 'invalid_request', message);
  });

  test('11 MiB in chunks, of no announced length', async () => {
    const chunk = Buffer.alloc(1024 * 1024, 0x61);
    const framed = Buffer.concat(Array.from({ length: 11 }, () => Buffer.concat([Buffer.from('100000\r\n'), chunk, Buffer.from('\r\n')])));
    const head = `POST /v1/sandboxes HTTP/1.1\r\nhost: h\r\nauthorization: ${key.authorization}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`;
    expectFailure(await rawHttp(gateway.port, Buffer.concat([Buffer.from(head), framed, Buffer.from('0\r\n\r\n')])), 400, 'invalid_request', 'Request body exceeds 10 MiB');
  });

  test('wrong fields alone: 400 validation_error', async () => {
    expectFailure(await post('{"agent":"UPPER"}'), 400, 'validation_error', 'agent must have 1 to 100 characters of a-z, 0-9 and hyphen, with no hyphen first or last');
  });

  test('gzip, deflate, br, +json and quoted charsets are read', async () => {
    const wrong = '{"agent":"UPPER"}';
    for (const [body, headers] of [
      [gzipSync(wrong), { ...json, 'content-encoding': 'gzip' }],
      [deflateSync(wrong), { ...json, 'content-encoding': 'deflate' }],
      [brotliCompressSync(wrong), { ...json, 'content-encoding': 'br' }],
      [wrong, { 'content-type': 'application/merge-patch+json; charset="UTF-8"', 'content-encoding': 'identity' }],
    ] as const) {
      expect(JSON.parse((await post(body, headers)).body)).toMatchObject({ error: { code: 'validation_error' } });
    }
  });

  test('GET and DELETE take any content type and body', async () => {
    expect((await send({ body: '{not json', headers: { 'content-type': 'text/plain' } })).status).toBe(200);
    for (const type of ['application/json', 'text/plain', 'x', ';', 'application/json, text/plain']) {
      const answer = await send({ method: 'DELETE', path: '/v1/sandboxes/x', body: '{not json', headers: { 'content-type': type } });
      expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'sandbox_error', status: 503 } });
    }
  });

  test('a repeated query parameter is refused, an unknown one ignored', async () => {
    expectFailure(await send({ path: '/v1/sandboxes?limit=1&limit=2' }), 400, 'validation_error', 'limit must be given once');
    expect((await send({ path: '/v1/me?colour=red&colour=blue' })).status).toBe(200);
  });
});

test('a small body that unpacks to millions of wrong items costs neither time nor a long message', async () => {
  const items = gzipSync(`{"mcpServers":[${'{},'.repeat(3_000_000)}{}]}`);
  const answer = await send({ method: 'PUT', path: '/v1/agents/x', body: items, headers: { ...json, 'content-encoding': 'gzip' } });
  expectFailure(answer, 400, 'validation_error', 'mcpServers must have at most 50 items');
  const keys = `{${Array.from({ length: 100_000 }, (_unused, index) => `"${index}${'k'.repeat(50)}":0`).join(',')}}`;
  expect((await send({ method: 'PUT', path: '/v1/agents/x', body: keys, headers: json })).body.length).toBeLessThan(2_000);
});

describe('headers', () => {
  test("the caller's request id is kept when it is harmless, else replaced", async () => {
    expect((await send({ headers: { 'x-request-id': 'abc.DEF_1-2' } })).headers['x-request-id']).toBe('abc.DEF_1-2');
    for (const id of ['short', 'a'.repeat(65), 'with space', 'quote"quote"']) {
      const kept = (await send({ headers: { 'x-request-id': id } })).headers['x-request-id'];
      expect(kept).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  test('every /v1 answer is not to be stored and tells its limits', async () => {
    for (const answer of [await send({}), await send({ authorization: null }), await send({ path: '/v1/nowhere' })]) {
      expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', 'ratelimit-policy': expect.any(String), ratelimit: expect.any(String), 'ratelimit-limit': expect.any(String), 'ratelimit-remaining': expect.any(String), 'ratelimit-reset': expect.any(String) });
    }
    const { headers } = await send({});
    expect(headers['ratelimit-policy']).toBe('"default";q=600;w=60, "team";q=6000;w=60');
    expect((await send({ path: '/health' })).headers).not.toHaveProperty('ratelimit');
  });

  test('a preflight is answered anywhere, without a credential or a limit', async () => {
    for (const path of ['/v1/sandboxes', '/v1/nowhere', '/elsewhere']) {
      const answer = await send({ method: 'OPTIONS', path, authorization: null, headers: { origin: 'https://page', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' } });
      expect(answer.status).toBe(204);
      expect(answer.body).toBe('');
      expect(answer.headers).toMatchObject({
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
        'access-control-allow-headers': 'authorization,content-type',
        'access-control-max-age': '7200',
      });
      expect(answer.headers).not.toHaveProperty('ratelimit');
      expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
    }
  });

  test('with a list of origins only those may read answers', async () => {
    const closed = await startGateway({ CORS_ORIGINS: 'https://a.example, https://b.example' });
    try {
      const from = async (origin: string): Promise<Headers> => (await fetch(`${closed.url}/health`, { headers: { origin } })).headers;
      const allowed = await from('https://b.example');
      expect(allowed.get('access-control-allow-origin')).toBe('https://b.example');
      expect(allowed.get('vary')).toBe('Origin');
      const refused = await from('https://c.example');
      expect(refused.get('access-control-allow-origin')).toBeNull();
      expect(refused.get('vary')).toBe('Origin');
    } finally {
      await closed.close();
    }
  });
});

describe('GET /v1/me', () => {
  test('tells the key and its team, never the secret', async () => {
    const asker = await gateway.makeKey({ name: 'ci', scopes: ['chat:run', 'agents:write'], userId: 'u1' });
    const answer = await send({ authorization: asker.authorization });
    expect(JSON.parse(answer.body)).toEqual({
      key: {
        id: asker.id,
        name: 'ci',
        prefix: asker.secret.slice(0, 12),
        last4: asker.secret.slice(-4),
        scopes: ['agents:write', 'chat:run'],
        status: 'active',
        userId: 'u1',
        rateLimits: null,
        createdAt: asker.createdAt.toISOString(),
        expiresAt: null,
        lastUsedAt: null,
        revokedAt: null,
      },
      team: { id: asker.teamId, name: asker.team.name, createdAt: asker.team.createdAt.toISOString() },
    });
  });
});

describe('operations', () => {
  test('/ready names everything that does not answer', async () => {
    const answer = await send({ path: '/ready', authorization: null });
    expect(JSON.parse(answer.body)).toEqual({ error: { code: 'internal_error', message: 'Not ready: vault, sandbox, budget', status: 503, retryAfter: 5 } });
    expect(answer.headers['retry-after']).toBe('5');
  });

  test('a service that is not there is 503 at once, with the code of the sandbox runtime', async () => {
    const answer = await send({ path: '/v1/sandboxes' });
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code: 'sandbox_error', status: 503, retryAfter: expect.any(Number) } });
    expect(answer.headers['retry-after']).toBe(String((JSON.parse(answer.body) as { error: { retryAfter: number } }).error.retryAfter));
  });
});
