import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Caller, type FileList, filesRpc, notFound, type ReceiveUpload, type RpcCall, type RpcHandlers, type SendDownload, unavailable, type WriteFiles, type WrittenFile } from '@gatehouse/contracts';
import { createLogger, createService } from '@gatehouse/platform';
import { ByteStreams, RpcService } from '@gatehouse/rpc';
import { eventually, rawHttp, testServices } from '@gatehouse/testing';
import { Module, type INestMicroservice } from '@nestjs/common';
import { type GatewayFixture, type MadeKey, startGateway } from '../testing/gateway.fixture.js';

/** What a test wants the service to do, and what the service has seen. The real one is behind the gateway in the end-to-end tests. */
const stage = {
  uploads: [] as { readonly stream: string; outcome?: unknown }[],
  writes: [] as WriteFiles[],
  refuse: null as Error | null,
  source: (): Readable => Readable.from([Buffer.from('hello')]),
  size: 5,
  downloads: [] as { complete?: boolean; failure?: unknown }[],
  /** What a download waits for before it has a file. */
  opening: (_signal: AbortSignal): Promise<void> => Promise.resolve(),
  /** What an upload waits for before it takes any bytes. */
  waking: (_signal: AbortSignal): Promise<void> => Promise.resolve(),
};
const unused = (): never => {
  throw new Error('not part of this test');
};
const DATA = Buffer.from(Array.from({ length: 256 }, (_unused, byte) => byte));
const MIB = 1_048_576;

@RpcService(filesRpc)
class ScriptedFiles implements RpcHandlers<typeof filesRpc> {
  constructor(private readonly streams: ByteStreams) {}

  async upload(_caller: Caller, { path, stream }: ReceiveUpload, { signal }: RpcCall): Promise<WrittenFile> {
    if (stage.refuse !== null) throw stage.refuse;
    const upload: { stream: string; outcome?: unknown } = { stream };
    stage.uploads.push(upload);
    try {
      await stage.waking(signal);
      const bytes = await buffer(this.streams.receive(stream, signal));
      upload.outcome = bytes;
      return { path, size: bytes.length };
    } catch (error) {
      upload.outcome = error;
      throw error;
    }
  }

  async download(_caller: Caller, { path, stream }: SendDownload, { signal }: RpcCall): Promise<WrittenFile> {
    if (stage.refuse !== null) throw stage.refuse;
    await stage.opening(signal);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(stage.size));
    const seen: { complete?: boolean; failure?: unknown } = {};
    stage.downloads.push(seen);
    const source = stage.source();
    try {
      const { complete } = await this.streams.send(
        stream,
        Readable.from(
          (async function* () {
            yield length;
            yield* source;
          })(),
          { objectMode: false },
        ),
        signal,
      );
      seen.complete = complete;
    } catch (error) {
      seen.failure = error;
      throw error;
    }
    return { path, size: stage.size };
  }

  async write(_caller: Caller, input: WriteFiles): Promise<readonly WrittenFile[]> {
    stage.writes.push(input);
    return (Array.isArray(input.files) ? (input.files as { path: string; content: string }[]) : []).map(({ path, content }) => ({ path, size: content.length }));
  }

  async list(): Promise<FileList> {
    return { entries: [{ name: 'a', path: '/a' }], truncated: true };
  }

  async exists(): Promise<boolean> {
    return false;
  }

  async mkdir(): Promise<boolean> {
    return true;
  }

  async read(): Promise<never> {
    return unused();
  }

  async delete(): Promise<never> {
    return unused();
  }

  async info(): Promise<never> {
    return unused();
  }

  async rename(): Promise<never> {
    return unused();
  }
}

@Module({ controllers: [ScriptedFiles] })
class ScriptedModule {}

let gateway: GatewayFixture;
let service: INestMicroservice;
let key: MadeKey;
beforeAll(async () => {
  gateway = await startGateway({ UPLOAD_SILENCE_SECONDS: '1', RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000' });
  key = await gateway.makeKey();
  const config = { LOG_LEVEL: 'fatal', REDIS_URL: testServices().redisUrl, REDIS_NAMESPACE: gateway.namespace, GATEHOUSE_TRANSPORT_KEY: Buffer.alloc(32, 1) };
  const definition = { service: 'sandbox' as const, readConfig: () => config, contracts: [filesRpc], module: () => ScriptedModule };
  service = await createService(definition, { config, logger: createLogger({ service: 'sandbox', instance: 'scripted', level: 'fatal' }), instance: `scripted-${randomBytes(4).toString('hex')}` });
  await service.listen();
});
afterAll(async () => {
  await gateway.close();
  await service.close();
});
beforeEach(() => {
  Object.assign(stage, { uploads: [], writes: [], downloads: [], refuse: null, size: 5, source: () => Readable.from([Buffer.from('hello')]), opening: () => Promise.resolve() });
});

const FILES = '/v1/sandboxes/s/files';
const head = (method: string, path: string, headers: Record<string, string | number> = {}): string =>
  `${method} ${path} HTTP/1.1\r\nhost: h\r\nauthorization: ${key.authorization}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
const upload = (format: string, headers: Record<string, string | number> = {}): string => head('POST', `${FILES}?format=${format}&path=a`, headers);
const send = (bytes: Buffer | string, options = {}) => rawHttp(gateway.port, bytes, options);
const chunked = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
const failure = (code: string, message: string, status: number): object => ({ error: { code, message, status } });
const open = async (): Promise<{ socket: Socket; received: () => string; closed: Promise<unknown> }> => {
  const socket = connect(gateway.port, '127.0.0.1');
  let text = '';
  socket.on('data', chunk => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  const closed = new Promise(resolve => socket.once('close', resolve));
  await new Promise(resolve => socket.once('connect', resolve));
  return { socket, received: () => text, closed };
};

describe('an upload', () => {
  test.each([
    ['bytes', { 'content-type': 'application/octet-stream' }],
    ['a JSON document', { 'content-type': 'application/json' }],
    ['no type', {}],
    ['a type that is none', { 'content-type': ';' }],
    ['an encoding that is none', { 'content-type': 'text/plain', 'content-encoding': 'Identity' }],
  ])('%s: arrives as it was sent', async (_name, headers) => {
    const answer = await send(Buffer.concat([Buffer.from(upload('blob', { ...headers, 'content-length': DATA.length })), DATA]));
    expect(JSON.parse(answer.body)).toEqual({ path: 'a', size: 256 });
    expect(answer.status).toBe(200);
    expect(stage.uploads).toMatchObject([{ outcome: DATA }]);
  });

  test('in chunks, and with no bytes at all', async () => {
    expect(JSON.parse((await send(Buffer.concat([Buffer.from(upload('stream', { 'transfer-encoding': 'chunked' })), chunked(DATA), chunked(DATA), Buffer.from('0\r\n\r\n')]))).body)).toEqual({ path: 'a', size: 512 });
    for (const headers of [{}, { 'content-length': 0 }, { 'content-type': 'text/plain' }] as Record<string, string | number>[]) expect(JSON.parse((await send(upload('blob', headers))).body)).toEqual({ path: 'a', size: 0 });
    expect(JSON.parse((await send(upload('blob', { 'transfer-encoding': 'chunked' }) + '0\r\n\r\n')).body)).toEqual({ path: 'a', size: 0 });
  });

  test.each([
    ['another encoding', { 'content-encoding': 'gzip', 'content-length': 4 }, 'blob', 'Unsupported content encoding'],
    ['a blob that is announced as too large', { 'content-length': 10 * MIB + 1 }, 'blob', 'Request body exceeds 10 MiB'],
    ['a stream that is announced as too large', { 'content-length': 1_024 * MIB + 1 }, 'stream', 'Upload exceeds 1 GiB'],
  ])('%s: is refused before a byte is read, and the connection ends', async (_name, headers, format, message) => {
    const { socket, received, closed } = await open();
    socket.write(upload(format, headers));
    await eventually(() => expect(received()).toContain('\r\n\r\n{'));
    expect(JSON.parse(received().split('\r\n\r\n')[1] ?? '')).toEqual(failure('invalid_request', message, 400));
    expect(received()).toMatch(/^HTTP\/1\.1 400 /);
    expect(stage.uploads).toEqual([]);
    if (headers['content-length'] > 4) {
      expect(received()).toMatch(/\r\nconnection: close\r\n/i);
      await closed;
    }
    socket.destroy();
  });

  test('a client that goes on sending can read why it was refused', async () => {
    const { socket, received, closed } = await open();
    const more = Buffer.alloc(MIB);
    const pump = (): void => {
      while (!socket.destroyed && socket.writable && socket.write(more));
    };
    socket.on('drain', pump);
    socket.write(upload('stream', { 'content-length': 2_048 * MIB }));
    pump();
    await closed;
    expect(received()).toContain('Upload exceeds 1 GiB');
  });

  test('a blob that turns out too large is cut off there, and the service learns why', async () => {
    const { socket, received, closed } = await open();
    socket.write(upload('blob', { 'transfer-encoding': 'chunked' }));
    for (let mebibyte = 0; mebibyte < 10; mebibyte++) socket.write(chunked(Buffer.alloc(MIB)));
    socket.write(chunked(Buffer.alloc(1)));
    await closed;
    expect(received()).toContain(JSON.stringify(failure('invalid_request', 'Request body exceeds 10 MiB', 400)));
    expect(stage.uploads).toMatchObject([{ outcome: { code: 'invalid_request', message: 'Request body exceeds 10 MiB' } }]);
  });

  test('exactly 10 MiB are no blob too many, announced or not', async () => {
    const bytes = randomBytes(10 * MIB);
    expect((await send(Buffer.concat([Buffer.from(upload('blob', { 'content-length': bytes.length })), bytes]))).status).toBe(200);
    expect((await send(Buffer.concat([Buffer.from(upload('blob', { 'transfer-encoding': 'chunked' })), chunked(bytes), Buffer.from('0\r\n\r\n')]))).status).toBe(200);
    for (const { outcome } of stage.uploads) expect(bytes.equals(outcome as Buffer)).toBe(true);
  });

  test('a client that falls silent is told so, and nothing of it is left', async () => {
    const { socket, received, closed } = await open();
    socket.write(Buffer.concat([Buffer.from(upload('stream', { 'content-length': 1_000_000 })), DATA]));
    await closed;
    expect(received()).toContain(JSON.stringify(failure('invalid_request', 'The request took too long to arrive', 400)));
    expect(stage.uploads).toMatchObject([{ outcome: { code: 'invalid_request', message: 'The request took too long to arrive' } }]);
  });

  test('a slow client that is alive outlasts the silence it may keep, and the time that other requests have', async () => {
    const seen: Socket[] = [];
    gateway.app.getHttpServer().once('connection', (socket: Socket) => seen.push(socket));
    const { socket, received, closed } = await open();
    socket.write(upload('stream', { 'content-length': 20, connection: 'close' }));
    for (let byte = 0; byte < 20; byte++) {
      socket.write('x');
      await new Promise(resolve => setTimeout(resolve, 100)); // The pace of the client: 2 s in all, twice the silence allowed.
      // What Node says when a request is not there after the time that requests have.
      if (byte === 15) gateway.app.getHttpServer().emit('clientError', Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), seen[0]);
    }
    await closed;
    expect(received()).toContain('{"path":"a","size":20}');
  });

  test('a client that goes away ends the transfer', async () => {
    const { socket } = await open();
    socket.write(Buffer.concat([Buffer.from(upload('stream', { 'content-length': 1_000_000 })), DATA]));
    await eventually(() => expect(stage.uploads).toHaveLength(1));
    socket.destroy();
    await eventually(() => expect(stage.uploads).toMatchObject([{ outcome: { code: 'invalid_request', message: 'The request ended before it was complete' } }]));
  });

  test('a body that breaks before the service takes any of it is the fault of the body, and the service hears that nobody waits', async () => {
    stage.waking = signal => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    try {
      const { socket, received, closed } = await open();
      socket.write(`${upload('stream', { 'transfer-encoding': 'chunked' })}5\r\nhello\r\nZZ\r\n`);
      await closed;
      expect(received()).toContain(JSON.stringify(failure('invalid_request', 'The request is not readable as HTTP', 400)));
      await eventually(() => expect(stage.uploads).toMatchObject([{ outcome: { name: 'AbortError' } }]));
    } finally {
      stage.waking = () => Promise.resolve();
    }
  });

  test('a refusal of the service is answered while the client still sends', async () => {
    stage.refuse = notFound('Sandbox');
    const { socket, received, closed } = await open();
    socket.write(Buffer.concat([Buffer.from(upload('stream', { 'content-length': 1_000_000 })), DATA]));
    await closed;
    expect(received()).toContain(JSON.stringify(failure('not_found', 'Sandbox not found', 404)));
  });

  test('an unknown format is refused, whatever the body is; an empty one is none', async () => {
    const answer = await send(`${upload('zip', { 'content-length': 4, 'content-type': 'text/plain' })}data`);
    expect(JSON.parse(answer.body)).toEqual(failure('validation_error', 'format must be one of blob, stream', 400));
    expect(JSON.parse((await send(`${head('POST', `${FILES}?format=&path=a`, { 'content-length': 4, 'content-type': 'text/plain' })}data`)).body)).toEqual(failure('invalid_request', 'Content-Type must be application/json', 400));
    expect(JSON.parse((await send(upload('blob').replace('&path=a', ''))).body)).toEqual(failure('invalid_request', 'path is required', 400));
  });

  test('comes after credential and scope', async () => {
    const reader = await gateway.makeKey({ scopes: ['sandboxes:read'] });
    for (const [authorization, expected] of [
      [reader.authorization, failure('forbidden', 'Missing scope: sandboxes:exec', 403)],
      ['Bearer nobody', failure('unauthorized', 'Invalid or missing API key', 401)],
    ] as const) {
      const { socket, received, closed } = await open();
      socket.write(upload('stream', { 'content-length': 1_000_000 }).replace(key.authorization, authorization));
      await closed;
      expect(received()).toContain(JSON.stringify(expected));
    }
    expect(stage.uploads).toEqual([]);
  });
});

describe('a body of JSON', () => {
  const post = async (body: object): Promise<unknown> => {
    const text = JSON.stringify(body);
    return JSON.parse((await send(head('POST', FILES, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }) + text)).body);
  };

  test('is one file or several', async () => {
    expect(await post({ path: 'a', content: 'xyz' })).toEqual({ path: 'a', size: 3 });
    expect(await post({ files: [{ path: 'a', content: 'x' }, { path: 'b', content: '' }] })).toEqual({ files: [{ path: 'a', size: 1 }, { path: 'b', size: 0 }] });
    expect(await post({ files: [{ path: 'a', content: 'x' }], path: '' })).toEqual({ files: [{ path: 'a', size: 1 }] });
    expect(stage.writes).toHaveLength(3);
  });

  test.each([
    [{}, failure('invalid_request', 'files is required', 400)],
    [{ path: '' }, failure('invalid_request', 'files is required', 400)],
    [{ files: null, path: null, content: null }, failure('invalid_request', 'files is required', 400)],
    [{ path: 'a' }, failure('invalid_request', 'content is required', 400)],
    [{ path: 7 }, failure('invalid_request', 'path must be a string; content is required', 400)],
    [{ content: '' }, failure('invalid_request', 'path is required', 400)],
    [{ path: '', content: 'x' }, failure('invalid_request', 'path is required', 400)],
    [{ files: {} }, failure('validation_error', 'files must not be empty', 400)],
    [{ files: [] }, failure('validation_error', 'files must not be empty', 400)],
    [{ files: { a: 'x' }, path: 'a', content: 'x' }, failure('validation_error', 'files must not be given together with path', 400)],
  ])('%j is refused', async (body, expected) => {
    expect(await post(body)).toEqual(expected);
    expect(stage.writes).toEqual([]);
  });

  test.each([
    ['late', 'ERR_HTTP_REQUEST_TIMEOUT', 'The request took too long to arrive'],
    ['broken', 'HPE_INVALID_CHUNK_SIZE', 'The request is not readable as HTTP'],
  ])('that is %s is answered, and the connection ends', async (_name, code, message) => {
    for (const isRead of [false, true]) {
      const arrived = new Promise<IncomingMessage>(resolve => gateway.app.getHttpServer().once('request', resolve));
      const { socket, received, closed } = await open();
      socket.write(`${head('POST', FILES, { 'content-type': 'application/json', 'content-length': 100 })}{"path"`);
      const request = await arrived;
      if (isRead) await eventually(() => expect(request.listenerCount('error')).toBeGreaterThan(0));
      // What Node says of it: of a late one after five minutes.
      gateway.app.getHttpServer().emit('clientError', Object.assign(new Error('on purpose'), { code }), request.socket);
      await closed;
      expect(received().match(/HTTP\/1\.1/g)).toHaveLength(1);
      expect(received()).toContain(JSON.stringify(failure('invalid_request', message, 400)));
    }
  });

  test('that ends before it is complete is answered, and the connection ends', async () => {
    const { socket, received, closed } = await open();
    socket.end(`${head('POST', FILES, { 'content-type': 'application/json', 'content-length': 100 })}{"path"`);
    await closed;
    expect(received().match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(received()).toContain(JSON.stringify(failure('invalid_request', 'The request ended before it was complete', 400)));
  });

  test('whose chunks are none is answered, and the connection ends', async () => {
    const { socket, received, closed } = await open();
    socket.write(`${head('POST', FILES, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })}4\r\n{"pa\r\nzz\r\n`);
    await closed;
    expect(received().match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(received()).toContain(JSON.stringify(failure('invalid_request', 'The request is not readable as HTTP', 400)));
  });
});

describe('a download', () => {
  const fetched = (format: string, init: RequestInit = {}) => fetch(`${gateway.url}${FILES}?path=a&format=${format}`, { headers: { authorization: key.authorization }, ...init });

  test.each(['blob', 'stream'])('%s: has its length and its bytes', async format => {
    const bytes = randomBytes(3 * MIB + 1);
    Object.assign(stage, { size: bytes.length, source: () => Readable.from([bytes], { objectMode: false }) });
    const answer = await fetched(format);
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({ 'content-type': 'application/octet-stream', 'content-length': String(bytes.length), 'cache-control': 'no-store' });
    expect(bytes.equals(Buffer.from(await answer.arrayBuffer()))).toBe(true);
    await eventually(() => expect(stage.downloads).toEqual([{ complete: true }]));
  });

  test('of nothing', async () => {
    Object.assign(stage, { size: 0, source: () => Readable.from([]) });
    const answer = await fetched('blob');
    expect([answer.status, answer.headers.get('content-length'), await answer.text()]).toEqual([200, '0', '']);
  });

  test('a refusal is an answer like any other', async () => {
    stage.refuse = notFound('File');
    const answer = await fetched('stream');
    expect([answer.status, answer.headers.get('content-type'), await answer.json()]).toEqual([404, 'application/json; charset=utf-8', failure('not_found', 'File not found', 404)]);
  });

  test('what fails before its first byte is an answer too', async () => {
    stage.source = () =>
      Readable.from(
        (async function* () {
          throw notFound('File');
          yield Buffer.alloc(0);
        })(),
      );
    const answer = await fetched('stream');
    expect([answer.status, await answer.json()]).toEqual([404, failure('not_found', 'File not found', 404)]);
  });

  test('what fails after it breaks the connection', async () => {
    const { socket, received, closed } = await open();
    Object.assign(stage, {
      size: 2 * MIB,
      source: () =>
        Readable.from(
          (async function* () {
            yield randomBytes(MIB);
            await eventually(() => expect(received()).not.toBe(''));
            throw new Error('on purpose');
          })(),
          { objectMode: false },
        ),
    });
    socket.write(head('GET', `${FILES}?path=a&format=stream`));
    await closed;
    const [answerHead = '', body = ''] = received().split('\r\n\r\n', 2);
    expect(answerHead).toMatch(/^HTTP\/1\.1 200 [^]*\r\ncontent-length: 2097152/i);
    expect(body.length).toBeLessThan(2 * MIB);
  });

  test('HEAD tells the length and moves nothing', async () => {
    Object.assign(stage, { size: 1_000 * MIB, source: () => new Readable({ read: () => undefined }) });
    const answer = await fetched('stream', { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-length'), answer.headers.get('content-type')]).toEqual([200, String(1_000 * MIB), 'application/octet-stream']);
    await eventually(() => expect(stage.downloads).toHaveLength(1));
    await eventually(() => expect(Object.keys(stage.downloads[0] ?? {})).not.toEqual([]));
  });

  test('a client that stops reading holds a window, and one that goes away ends the transfer', async () => {
    let given = 0;
    const endless = Buffer.alloc(64 * 1_024);
    Object.assign(stage, {
      size: 1_000 * MIB,
      source: () =>
        new Readable({
          read() {
            given += endless.length;
            this.push(endless);
          },
        }),
    });
    const { socket, received } = await open();
    socket.write(head('GET', `${FILES}?path=a&format=stream`));
    await eventually(() => expect(received().length).toBeGreaterThan(MIB));
    socket.pause();
    let before = -1;
    await eventually(async () => {
      const was = before;
      before = given;
      await new Promise(resolve => setTimeout(resolve, 200)); // Between two looks.
      expect(given).toBe(was);
    });
    // What the operating system keeps for both sockets, and the window.
    expect(given - received().length).toBeLessThan(20 * MIB);
    expect(stage.downloads).toEqual([{}]);
    socket.destroy();
    await eventually(() => expect(Object.keys(stage.downloads[0] ?? {})).not.toEqual([]));
  });
});

test('a client that goes away before there is an answer calls the work off, and is no failure of ours', async () => {
  let calledOff = false;
  let asked = false;
  stage.opening = signal =>
    new Promise((_resolve, reject) => {
      asked = true;
      signal.addEventListener('abort', () => {
        calledOff = true;
        reject(signal.reason as Error);
      });
    });
  const logged = gateway.log.length;
  const { socket } = await open();
  socket.write(head('GET', `${FILES}?path=a&format=stream`));
  await eventually(() => expect(asked).toBe(true));
  socket.destroy();
  await eventually(() => expect(calledOff).toBe(true));
  expect(gateway.log.slice(logged).filter(line => /"level":[45]0/.test(line))).toEqual([]);
});

test('an upload that finds no room among the streams of the gateway is refused at once', async () => {
  const streams = gateway.app.get(ByteStreams, { strict: false });
  const { send: original } = streams;
  streams.send = () => Promise.reject(unavailable(new Error('no room'), 1));
  try {
    expect(JSON.parse((await send(`${upload('blob', { 'content-length': 1 })}x`)).body)).toEqual({ error: { code: 'sandbox_error', message: 'The transfer broke off', status: 503, retryAfter: 1 } });
  } finally {
    streams.send = original;
  }
});

test('a cut list says so, and booleans are bare', async () => {
  const get = (path: string, init: RequestInit = {}) => fetch(`${gateway.url}${FILES}${path}`, { headers: { authorization: key.authorization, 'content-type': 'application/json' }, ...init });
  const list = await get('/list?path=/');
  expect([list.headers.get('x-truncated'), await list.json()]).toEqual(['true', [{ name: 'a', path: '/a' }]]);
  for (const [answer, text] of [
    [await get('/exists?path=a'), 'false'],
    [await get('/mkdir', { method: 'POST', body: '{"path":"a"}' }), 'true'],
  ] as const) {
    expect([answer.status, answer.headers.get('content-type'), await answer.text()]).toEqual([200, 'application/json; charset=utf-8', text]);
  }
});
