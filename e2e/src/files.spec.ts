import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { AgentClient } from '@21st-sdk/node';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type AppProcess, createSystem, eventually, type System } from '@gatehouse/testing';

const MIB = 1_048_576;
/** On a machine that does much else. */
jest.setTimeout(60_000);
const LARGE_MS = 180_000;
/** Of a large file. 1 GiB, the most there can be, takes no more memory, but a minute on a busy machine. */
const LARGE_MIB = 300;
let system: System;
let apps: Record<'gateway' | 'sandbox', AppProcess>;
let secret: string;
let id: string;
beforeAll(async () => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000', UPLOAD_SILENCE_SECONDS: '2', SANDBOX_TRANSFERS_TEAM_MAX: '3' });
  apps = await system.startAll();
  ({ secret } = await system.createKey());
  expect((await call('PUT', '/v1/agents/demo', { json: { model: 'scripted' } })).status).toBe(201);
  expect((await call('PUT', '/v1/agents/large', { json: { model: 'scripted', sandbox: { diskMB: 2_560, timeoutMs: 86_400_000 } } })).status).toBe(201);
  id = await create();
});
afterAll(async () => system.close());

interface Sent {
  readonly json?: unknown;
  readonly bytes?: Buffer | string | Readable;
  readonly headers?: Record<string, string>;
  readonly key?: string;
}
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  readonly body: unknown;
}
const call = async (method: string, path: string, { json, bytes, headers, key = secret }: Sent = {}): Promise<Answer> => {
  const body = json === undefined ? bytes : JSON.stringify(json);
  const sent = body instanceof Readable ? { body: Readable.toWeb(body), duplex: 'half' } : body === undefined ? {} : { body };
  const answer = await fetch(`${apps.gateway.url}${path}`, { method, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers }, ...sent } as RequestInit);
  const received = Buffer.from(await answer.arrayBuffer());
  const isJson = received.length > 0 && answer.headers.get('content-type') === 'application/json; charset=utf-8';
  return { status: answer.status, headers: answer.headers, bytes: received, body: isJson ? (JSON.parse(received.toString()) as unknown) : null };
};
const create = async (agent = 'demo'): Promise<string> => ((await call('POST', '/v1/sandboxes', { json: { agent } })).body as { id: string }).id;
const files = (rest: string, sandbox = id): string => `/v1/sandboxes/${sandbox}/files${rest}`;
const at = (path: string, query = ''): string => files(`?path=${encodeURIComponent(path)}${query}`);
const look = (what: string, path: string, query = ''): Promise<Answer> => call('GET', files(`/${what}?path=${encodeURIComponent(path)}${query}`));
const post = (json: unknown, rest = ''): Promise<Answer> => call('POST', files(rest), { json });
const exec = async (command: string, sandbox = id): Promise<string> => {
  const { status, body } = await call('POST', `/v1/sandboxes/${sandbox}/exec`, { json: { command, timeoutMs: 60_000 } });
  expect(status).toBe(200);
  return (body as { stdout: string }).stdout;
};
const expectFailure = ({ status, body, headers }: Answer, code: string, expectedStatus: number, message: unknown = expect.any(String), extras: object = {}): void => {
  expect(body).toEqual({ error: { code, message, status: expectedStatus, ...extras } });
  expect(status).toBe(expectedStatus);
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
};
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_unused, byte) => byte));
const HOME = '/home/user';
/** Every name below a directory that the file system has, whatever it begins with. */
const everything = async (directory: string, sandbox = id): Promise<string[]> => (await exec(`find ${directory} -mindepth 1 | sort`, sandbox)).split('\n').filter(line => line !== '');

describe('writing', () => {
  test('a map of files, in its order', async () => {
    const answer = await post({ files: { 'w/b.txt': 'ü', 'w/a.txt': '', '/tmp/c.txt': 'x\0y' } });
    expect(answer).toMatchObject({ status: 200, body: { files: [{ path: `${HOME}/w/b.txt`, size: 2 }, { path: `${HOME}/w/a.txt`, size: 0 }, { path: '/tmp/c.txt', size: 3 }] } });
    expect(await exec('cat w/b.txt; wc -c < w/a.txt; od -An -c /tmp/c.txt')).toBe('ü0\n   x  \\0   y\n');
  });

  test('a list of files: one may come twice, and the last one stays', async () => {
    const answer = await post({ files: [{ path: './l/../l/x', content: 'first' }, { path: 'l/y', content: 'y' }, { path: `${HOME}/l/x`, content: 'last' }] });
    expect(answer).toMatchObject({ status: 200, body: { files: [{ path: `${HOME}/l/x`, size: 5 }, { path: `${HOME}/l/y`, size: 1 }, { path: `${HOME}/l/x`, size: 4 }] } });
    expect(await exec('cat l/x')).toBe('last');
  });

  test('one file, empty or not', async () => {
    expect(await post({ path: 'one/deep/er.txt', content: 'hello' })).toMatchObject({ status: 200, body: { path: `${HOME}/one/deep/er.txt`, size: 5 } });
    expect(await post({ path: 'one/empty', content: '' })).toMatchObject({ status: 200, body: { path: `${HOME}/one/empty`, size: 0 } });
    expect(await exec('stat -c "%U:%G %a" one/deep/er.txt')).toBe('user:user 644\n');
  });

  test.each(['blob', 'stream'])('the bytes of a %s, of any type', async format => {
    for (const [name, bytes, headers] of [
      ['json', Buffer.from('{"not": "parsed"'), { 'content-type': 'application/json' }],
      ['all', ALL_BYTES, { 'content-type': 'application/octet-stream' }],
      ['odd', ALL_BYTES, { 'content-type': 'x', 'content-encoding': 'identity' }],
      ['nothing', Buffer.alloc(0), {}],
    ] as const) {
      const answer = await call('POST', at(`bytes/${format}-${name}`, `&format=${format}`), { bytes, headers });
      expect(answer).toMatchObject({ status: 200, body: { path: `${HOME}/bytes/${format}-${name}`, size: bytes.length } });
      const read = await call('GET', at(`bytes/${format}-${name}`, '&format=blob'));
      expect(bytes.equals(read.bytes)).toBe(true);
    }
    // Of no announced length.
    expect(await call('POST', at(`bytes/${format}-chunked`, `&format=${format}`), { bytes: Readable.from([ALL_BYTES, ALL_BYTES]) })).toMatchObject({ status: 200, body: { size: 512 } });
  });

  test('replaces a file as a whole, for who has it open too', async () => {
    await post({ path: 'atomic', content: 'old' });
    expect(await exec('exec 3< atomic; stat -c %i atomic > before')).toBe('');
    await post({ path: 'atomic', content: 'new' });
    expect(await exec('[ "$(cat before)" != "$(stat -c %i atomic)" ] && cat atomic; ls -A | grep -c gatehouse')).toBe('new0\n');
  });

  test('a failure in the middle leaves the earlier ones', async () => {
    await exec('mkdir -p mid/dir');
    expectFailure(await post({ files: [{ path: 'mid/1', content: '1' }, { path: 'mid/dir', content: '2' }, { path: 'mid/3', content: '3' }] }), 'conflict', 409);
    expect(await everything('mid')).toEqual(['mid/1', 'mid/dir']);
  });

  test.each([
    [{}, 'invalid_request', 'files is required'],
    [{ files: null }, 'invalid_request', 'files is required'],
    [{ path: 'a' }, 'invalid_request', 'content is required'],
    [{ content: 'a' }, 'invalid_request', 'path is required'],
    [{ path: '', content: 'a' }, 'invalid_request', 'path is required'],
    [{ files: [{ path: 'a' }] }, 'invalid_request', 'files[0].content is required'],
    [{ files: {} }, 'validation_error', expect.any(String)],
    [{ files: [] }, 'validation_error', expect.any(String)],
    [{ files: { a: 'x' }, path: 'b', content: 'y' }, 'validation_error', expect.any(String)],
    [{ files: { a: 'x' }, path: 'b' }, 'validation_error', expect.any(String)],
    [{ files: { a: 7 } }, 'validation_error', expect.any(String)],
    [{ path: 'a\0b', content: '' }, 'validation_error', 'path must not contain NUL'],
    [{ path: 'p'.repeat(4_097), content: '' }, 'validation_error', 'path must have 1 to 4096 bytes'],
    [{ path: 'n'.repeat(300), content: '' }, 'validation_error', expect.any(String)],
    [{ path: '/etc/passwd', content: 'mine' }, 'validation_error', expect.any(String)],
    [{ path: '/proc/self/oom_score_adj', content: '0' }, 'validation_error', expect.any(String)],
    [{ path: '/nowhere/a', content: '' }, 'validation_error', expect.any(String)],
  ] as const)('JSON of form %# is refused', async (body, code, message) => {
    expectFailure(await post(body), code, 400, message);
  });

  test.each([
    ['?format=blob', 'invalid_request', 'path is required'],
    ['?format=stream&path=', 'invalid_request', 'path is required'],
    ['?format=zip&path=a', 'validation_error', 'format must be one of blob, stream'],
    ['?format=text&path=a', 'validation_error', 'format must be one of blob, stream'],
    ['?format=blob&format=blob&path=a', 'validation_error', 'format must be given once'],
    ['?format=blob&path=a%00b', 'validation_error', 'path must not contain NUL'],
  ])('bytes for %s are refused', async (query, code, message) => {
    expectFailure(await call('POST', files(query), { bytes: 'data' }), code, 400, message);
  });

  test('encoded bytes are refused rather than kept as they are', async () => {
    expectFailure(await call('POST', at('encoded', '&format=blob'), { bytes: 'data', headers: { 'content-encoding': 'gzip' } }), 'invalid_request', 400, 'Unsupported content encoding');
    expectFailure(await call('GET', at('encoded')), 'not_found', 404, 'File not found');
  });

  test('onto the other kind is a conflict', async () => {
    await exec('mkdir -p kinds/dir; echo x > kinds/file');
    for (const attempt of [
      () => post({ path: 'kinds/dir', content: '' }),
      () => post({ path: 'kinds/file/below', content: '' }),
      () => call('POST', at('kinds/dir', '&format=blob'), { bytes: ALL_BYTES }),
      () => call('POST', at('kinds/dir', '&format=stream'), { bytes: Buffer.alloc(5 * MIB) }),
      () => post({ path: 'kinds/file' }, '/mkdir'),
      () => post({ path: 'kinds/file/below' }, '/mkdir'),
      () => post({ oldPath: 'kinds/file', newPath: 'kinds/dir' }, '/rename'),
      () => post({ oldPath: 'kinds/dir', newPath: 'kinds/file' }, '/rename'),
    ]) {
      expectFailure(await attempt(), 'conflict', 409);
    }
    expect(await everything('kinds')).toEqual(['kinds/dir', 'kinds/file']);
  });
});

describe('reading', () => {
  test('text: what is no UTF-8 is replaced, a byte order mark stays', async () => {
    await call('POST', at('r/text', '&format=blob'), { bytes: Buffer.concat([Buffer.from('\u{feff}grüße €𝄞\0'), Buffer.from([0xff, 0xc3, 0x28])]) });
    for (const format of ['', '&format=text', '&format=']) {
      expect(await call('GET', at('./r//text', format))).toMatchObject({ status: 200, body: { path: `${HOME}/r/text`, content: '\u{feff}grüße €𝄞\0\u{fffd}\u{fffd}(' } });
    }
    await post({ path: 'r/none', content: '' });
    expect((await call('GET', at('r/none'))).body).toEqual({ path: `${HOME}/r/none`, content: '' });
  });

  test('a lone surrogate is no text, and is written as what stands for it', async () => {
    expect((await post({ path: 'r/lone', content: 'a\ud800b' })).body).toMatchObject({ size: 5 });
    expect((await call('GET', at('r/lone'))).body).toMatchObject({ content: 'a\u{fffd}b' });
  });

  test.each(['blob', 'stream'])('a %s, with its length', async format => {
    await call('POST', at('r/bytes', '&format=blob'), { bytes: ALL_BYTES });
    const answer = await call('GET', at('r/bytes', `&format=${format}`));
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({ 'content-type': 'application/octet-stream', 'content-length': '256', 'cache-control': 'no-store' });
    expect(ALL_BYTES.equals(answer.bytes)).toBe(true);
    const head = await call('HEAD', at('r/bytes', `&format=${format}`));
    expect([head.status, head.headers.get('content-length'), head.bytes.length]).toEqual([200, '256', 0]);
  });

  test.each([
    ['?path=r&format=Text', 'validation_error', 400],
    ['?path=r&depth=x', 'validation_error', 400],
    ['', 'invalid_request', 400],
    ['?path=', 'invalid_request', 400],
    ['?path=r&path=r', 'validation_error', 400],
    ['?path=r', 'validation_error', 400],
    ['?path=r&format=blob', 'validation_error', 400],
    ['?path=r&format=stream', 'validation_error', 400],
    ['?path=r/nowhere', 'not_found', 404],
    ['?path=r/text/below', 'not_found', 404],
    ['?path=r/nowhere&format=blob', 'not_found', 404],
    ['?path=r/nowhere&format=stream', 'not_found', 404],
    ['?path=/proc/self/environ', 'validation_error', 400],
    ['?path=/dev/zero&format=stream', 'validation_error', 400],
    ['?path=/etc/shadow', 'not_found', 404],
  ])('%s is refused', async (query, code, status) => {
    expectFailure(await call('GET', files(query)), code, status, status === 404 ? 'File not found' : query === '' || query === '?path=' ? 'path is required' : expect.any(String));
  });

  test('neither a pipe nor a socket holds anybody up', async () => {
    await exec('mkfifo r/pipe; ln -s pipe r/to-pipe');
    for (const path of ['r/pipe', 'r/to-pipe']) for (const format of ['text', 'stream']) expectFailure(await call('GET', at(path, `&format=${format}`)), 'validation_error', 400);
    expect(((await look('info', 'r/pipe')).body as { type?: string }).type).toBeUndefined();
  });
});

describe('entries', () => {
  test('info tells all that is known', async () => {
    await exec('mkdir -p i; printf 123 > i/f; chmod 640 i/f; touch -d 2026-03-01T09:30:00Z i/f; ln -s ../i/f i/l; mkdir -m 1777 i/d; ln -s nowhere i/dangling');
    expect((await look('info', 'i/f')).body).toEqual({ name: 'f', path: `${HOME}/i/f`, type: 'file', size: 3, mode: 0o640, permissions: '-rw-r-----', owner: 'user', group: 'user', modifiedTime: '2026-03-01T09:30:00.000Z' });
    expect((await look('info', 'i/l')).body).toMatchObject({ type: 'symlink', permissions: 'lrwxrwxrwx', symlinkTarget: '../i/f' });
    expect((await look('info', 'i/d')).body).toMatchObject({ type: 'dir', permissions: 'drwxrwxrwt' });
    expect((await look('info', '/')).body).toMatchObject({ path: '/', type: 'dir', owner: expect.any(String) });
    expect((await look('info', '/etc/passwd')).body).toMatchObject({ owner: expect.stringMatching(/^(root|\d+)$/) });
    for (const path of ['i/f', 'i/l', 'i/dangling', 'i', '/', '../..']) expect([path, (await look('exists', path)).body]).toEqual([path, true]);
    for (const path of ['i/nowhere', 'i/f/below', 'i/dangling/below']) expect([path, (await look('exists', path)).body]).toEqual([path, false]);
    expectFailure(await look('info', 'i/nowhere'), 'not_found', 404, 'File not found');
    for (const what of ['info', 'exists', 'list']) {
      expectFailure(await look(what, ''), 'invalid_request', 400, 'path is required');
      expectFailure(await look(what, 'a\0'), 'validation_error', 400, 'path must not contain NUL');
    }
  });

  test('list: sorted by path, as deep as asked, links not entered', async () => {
    await exec('mkdir -p t/a/b/c t/z; touch t/a.txt t/a/x t/a/b/y t/a/b/c/deep; ln -s / t/root');
    const names = async (query: string): Promise<string[]> => ((await look('list', 't', query)).body as { path: string }[]).map(({ path }) => path.slice(`${HOME}/t/`.length));
    expect(await names('')).toEqual(['a', 'a.txt', 'root', 'z']);
    for (const depth of [0, 1]) expect(await names(`&depth=${depth}`)).toEqual(['a', 'a.txt', 'root', 'z']);
    expect(new Set(await names('&depth=2'))).toEqual(new Set(['a', 'a/b', 'a/x', 'a.txt', 'root', 'z']));
    const deep = await names('&depth=20');
    expect(deep).toContain('a/b/c/deep');
    expect(deep).toEqual([...deep].sort());
    const answer = await look('list', 't/z');
    expect([answer.status, answer.body, answer.headers.get('x-truncated')]).toEqual([200, [], null]);
  });

  test('a list that is cut says so', async () => {
    await exec('mkdir -p many; cd many; seq 1 10001 | xargs touch');
    const cut = await look('list', 'many');
    expect([cut.status, (cut.body as unknown[]).length, cut.headers.get('x-truncated')]).toEqual([200, 10_000, 'true']);
    expect(cut.headers.get('access-control-expose-headers')).toMatch(/x-truncated/i);
    await exec('rm many/10001');
    const whole = await look('list', 'many');
    expect([(whole.body as unknown[]).length, whole.headers.get('x-truncated')]).toEqual([10_000, null]);
  });

  test('lists that cannot be', async () => {
    expectFailure(await look('list', 't/a.txt'), 'validation_error', 400);
    expectFailure(await look('list', 't/nowhere'), 'not_found', 404, 'File not found');
    for (const depth of ['21', '-1', '1.5', 'all']) expectFailure(await look('list', 't', `&depth=${depth}`), 'validation_error', 400, 'depth must be an integer from 0 to 20');
  });

  test('mkdir says whether it made one', async () => {
    const { headers, bytes, status } = await post({ path: 'm/n/o' }, '/mkdir');
    expect([status, bytes.toString(), headers.get('content-type')]).toEqual([200, 'true', 'application/json; charset=utf-8']);
    expect((await post({ path: 'm/n' }, '/mkdir')).bytes.toString()).toBe('false');
    for (const body of [{}, { path: '' }, { path: null }]) expectFailure(await post(body, '/mkdir'), 'invalid_request', 400, 'path is required');
    expectFailure(await post({ path: 7 }, '/mkdir'), 'validation_error', 400, 'path must be a string');
  });

  test('rename makes parents, replaces a file, and answers the entry', async () => {
    await exec('mkdir -p n/dir; echo 1 > n/1; echo 22 > n/2');
    expect(await post({ oldPath: 'n/2', newPath: 'n/1' }, '/rename')).toMatchObject({ status: 200, body: { name: '1', path: `${HOME}/n/1`, type: 'file', size: 3 } });
    expect((await post({ oldPath: 'n/dir', newPath: 'n/new/parent/dir' }, '/rename')).body).toMatchObject({ type: 'dir', path: `${HOME}/n/new/parent/dir` });
    expect(await everything('n')).toEqual(['n/1', 'n/new', 'n/new/parent', 'n/new/parent/dir']);
    expectFailure(await post({ oldPath: 'n/nowhere', newPath: 'n/x' }, '/rename'), 'not_found', 404, 'File not found');
    expectFailure(await post({}, '/rename'), 'invalid_request', 400, 'oldPath is required; newPath is required');
    expectFailure(await post({ oldPath: 'n/1', newPath: '' }, '/rename'), 'invalid_request', 400, 'newPath is required');
    expectFailure(await post({ oldPath: 'n/new', newPath: 'n/new/below/itself' }, '/rename'), 'validation_error', 400);
  });

  test('delete takes a file, a link, or a directory with all that is in it', async () => {
    await exec('mkdir -p x/dir/deep x/kept; touch x/f x/dir/deep/f x/kept/f; ln -s kept x/link');
    for (const path of ['x/f', 'x/dir', 'x/link']) {
      const answer = await call('DELETE', at(path));
      expect([answer.status, answer.bytes.length]).toEqual([204, 0]);
    }
    expect(await everything('x')).toEqual(['x/kept', 'x/kept/f']);
    expectFailure(await call('DELETE', at('x/f')), 'not_found', 404, 'File not found');
    expectFailure(await call('DELETE', files('')), 'invalid_request', 400, 'path is required');
    for (const path of ['/', '/home', HOME, '.', '..', `${HOME}/`, `${HOME}/..`, `${HOME}/x/..`, 'x/../../user', '/../home//user/./']) expectFailure(await call('DELETE', at(path)), 'validation_error', 400);
    for (const path of ['/etc', '/usr/bin', '/proc/1']) expectFailure(await call('DELETE', at(path)), 'validation_error', 400);
    expect(await exec('test -d workspace && echo there')).toBe('there\n');
  });
});

describe('limits', () => {
  test('10 MiB and not one byte more, written and read, as text and as bytes', async () => {
    const bytes = randomBytes(10 * MIB);
    expect(await call('POST', at('limit/blob', '&format=blob'), { bytes })).toMatchObject({ status: 200, body: { size: bytes.length } });
    expect(bytes.equals((await call('GET', at('limit/blob', '&format=blob'))).bytes)).toBe(true);
    const text = await call('GET', at('limit/blob'));
    expect([text.status, text.status === 200 ? Object.keys(text.body as object) : text.body]).toEqual([200, ['path', 'content']]);
    expect((text.body as { content: string }).content === bytes.toString('utf8')).toBe(true);

    const larger = Buffer.concat([bytes, Buffer.alloc(1)]);
    expectFailure(await call('POST', at('limit/larger', '&format=blob'), { bytes: larger }), 'invalid_request', 400, 'Request body exceeds 10 MiB');
    expectFailure(await call('POST', at('limit/larger', '&format=blob'), { bytes: Readable.from([bytes, Buffer.alloc(1)]) }), 'invalid_request', 400, 'Request body exceeds 10 MiB');
    expectFailure(await post({ path: 'limit/larger', content: 'x'.repeat(10 * MIB) }), 'invalid_request', 400, 'Request body exceeds 10 MiB');
    expect(await everything('limit')).toEqual(['limit/blob']);

    expect(await call('POST', at('limit/larger', '&format=stream'), { bytes: larger })).toMatchObject({ status: 200, body: { size: larger.length } });
    for (const format of ['text', 'blob']) expectFailure(await call('GET', at('limit/larger', `&format=${format}`)), 'validation_error', 400);
    expect((await call('GET', at('limit/larger', '&format=stream'))).bytes.equals(larger)).toBe(true);
  });

  test('over 1 GiB is refused before a byte of it is read', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(Number(new URL(apps.gateway.url).port), '127.0.0.1', () => {
        socket.write(`POST ${at('huge', '&format=stream')} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${secret}\r\ncontent-length: ${1_024 * MIB + 1}\r\n\r\n`);
      });
      socket.on('data', chunk => (text += chunk.toString())).on('error', reject);
      socket.on('close', () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toEqual({ error: { code: 'invalid_request', message: 'Upload exceeds 1 GiB', status: 400 } });
    expect((await look('exists', 'huge')).body).toBe(false);
  });

  test('what does not fit on the disk says so and leaves nothing', async () => {
    const { body } = await call('PUT', '/v1/agents/small', { json: { model: 'scripted', sandbox: { diskMB: 256 } } });
    expect(body).toMatchObject({ sandbox: { diskMB: 256 } });
    const small = await create('small');
    const answer = await call('POST', `/v1/sandboxes/${small}/files?path=full&format=stream`, { bytes: Readable.from(zeros(400)) });
    expectFailure(answer, 'sandbox_error', 500, 'The disk of the sandbox is full');
    expect(await everything(HOME, small)).toEqual([`${HOME}/workspace`]);
    expect((await call('POST', `/v1/sandboxes/${small}/files`, { json: { path: 'after', content: 'ok' } })).status).toBe(200);
  });
});

const zeros = function* (mebibytes: number): Generator<Buffer> {
  const one = Buffer.alloc(MIB);
  for (let count = 0; count < mebibytes; count++) yield one;
};
const rssOf = ({ pid }: AppProcess): number => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;
/** MiB that a process grew by at most while `work` went on. */
const growth = async (work: () => Promise<void>): Promise<Record<string, number>> => {
  const watched = { gateway: apps.gateway, sandbox: apps.sandbox };
  const before = Object.entries(watched).map(([name, app]) => [name, app, rssOf(app)] as const);
  const most: Record<string, number> = {};
  const timer = setInterval(() => {
    for (const [name, app, rss] of before) most[name] = Math.max(most[name] ?? 0, Math.round(rssOf(app) - rss));
  }, 50);
  await work().finally(() => clearInterval(timer));
  return most;
};
const open = async (head: string): Promise<{ socket: Socket; received: () => string; closed: Promise<unknown> }> => {
  const socket = connect(Number(new URL(apps.gateway.url).port), '127.0.0.1');
  let text = '';
  socket.on('data', chunk => (text += chunk.toString('latin1'))).on('error', () => undefined);
  const closed = new Promise(resolve => socket.once('close', resolve));
  await new Promise(resolve => socket.once('connect', resolve));
  socket.write(`${head} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${secret}\r\n`);
  return { socket, received: () => text, closed };
};

describe('large files', () => {
  test('a file goes up and down through a small part of the memory it would fill', async () => {
    const large = await create('large');
    const block = randomBytes(MIB);
    const sent = createHash('sha256');
    const blocks = function* (): Generator<Buffer> {
      for (let count = 0; count < LARGE_MIB; count++) {
        block.writeUInt32BE(count);
        const bytes = Buffer.from(block);
        sent.update(bytes);
        yield bytes;
      }
    };
    const { port } = new URL(apps.gateway.url);
    const up = await growth(async () => {
      const written = await new Promise<string>((resolve, reject) => {
        const request = httpRequest({ port, method: 'POST', path: `/v1/sandboxes/${large}/files?path=large&format=stream`, headers: { authorization: `Bearer ${secret}`, 'content-length': LARGE_MIB * MIB } }, answer => {
          let text = '';
          answer.on('data', chunk => (text += String(chunk))).on('end', () => resolve(text));
        });
        request.on('error', reject);
        Readable.from(blocks(), { highWaterMark: 1 }).pipe(request);
      });
      expect(JSON.parse(written)).toEqual({ path: `${HOME}/large`, size: LARGE_MIB * MIB });
    });
    const expected = sent.digest('hex');
    const received = createHash('sha256');
    let bytes = 0;
    const down = await growth(async () => {
      const answer = await fetch(`${apps.gateway.url}/v1/sandboxes/${large}/files?path=large&format=stream`, { headers: { authorization: `Bearer ${secret}` } });
      expect(answer.headers.get('content-length')).toBe(String(LARGE_MIB * MIB));
      for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
        bytes += chunk.length;
        received.update(chunk);
      }
    });
    expect(bytes).toBe(LARGE_MIB * MIB);
    expect(received.digest('hex')).toBe(expected);
    for (const growths of [up, down]) for (const name of ['gateway', 'sandbox']) expect(growths[name]).toBeLessThan(150);
    await call('DELETE', `/v1/sandboxes/${large}`);
  }, LARGE_MS);
});

describe('clients', () => {
  test('that go away in the middle of an upload leave nothing', async () => {
    const { socket } = await open(`POST ${at('gone/up', '&format=stream')}`);
    socket.write(`content-length: ${100 * MIB}\r\n\r\n`);
    socket.write(Buffer.alloc(MIB));
    // The file is there under a name of its own until it is whole.
    await eventually(async () => expect(await everything('gone')).toHaveLength(1));
    expect((await look('exists', 'gone/up')).body).toBe(false);
    socket.destroy();
    await eventually(async () => expect(await everything('gone')).toEqual([]));
  });

  test('that fall silent are answered, and leave nothing', async () => {
    const { socket, received, closed } = await open(`POST ${at('silent/up', '&format=stream')}`);
    socket.write(`content-length: ${100 * MIB}\r\n\r\n`);
    socket.write(Buffer.alloc(MIB));
    await closed;
    expect(received()).toContain('{"error":{"code":"invalid_request","message":"The request took too long to arrive","status":400}}');
    await eventually(async () => expect(await everything('silent')).toEqual([]));
  });

  test('that are slow are waited for', async () => {
    const bytes = Readable.from(
      (async function* () {
        for (let piece = 0; piece < 6; piece++) {
          yield Buffer.from(`${piece}`);
          await new Promise(resolve => setTimeout(resolve, 500)); // The pace of the client: longer in all than it may be silent.
        }
      })(),
    );
    expect((await call('POST', at('slow', '&format=stream'), { bytes })).body).toEqual({ path: `${HOME}/slow`, size: 6 });
    expect(await exec('cat slow')).toBe('012345');
  });

  test('that stop reading, or go away, hold nothing for ever', async () => {
    await call('POST', at('read-me', '&format=stream'), { bytes: Readable.from(zeros(64)) });
    const readers = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const reader = await open(`GET ${at('read-me', '&format=stream')}`);
        reader.socket.write('\r\n');
        await eventually(() => expect(reader.received().length).toBeGreaterThan(MIB));
        reader.socket.pause();
        return reader;
      }),
    );
    // They are all the team may have at once, and small files are read all the same.
    const refused = await call('GET', at('read-me', '&format=stream'));
    expectFailure(refused, 'sandbox_error', 503, 'Too many files are being transferred', { retryAfter: 1 });
    expect(refused.headers.get('retry-after')).toBe('1');
    expect((await call('POST', files(''), { json: { path: 'meanwhile', content: 'ok' } })).status).toBe(200);
    expect((await call('GET', at('meanwhile'))).body).toMatchObject({ content: 'ok' });
    for (const { socket } of readers) socket.destroy();
    await eventually(async () => expect((await call('GET', at('meanwhile', '&format=stream'))).status).toBe(200));
  });

  test('see a broken connection where the file breaks off, never a whole answer', async () => {
    await call('POST', at('shrinks', '&format=stream'), { bytes: Readable.from(zeros(64)) });
    const { socket, received, closed } = await open(`GET ${at('shrinks', '&format=stream')}`);
    socket.write('\r\n');
    await eventually(() => expect(received().length).toBeGreaterThan(0));
    socket.pause();
    await exec('truncate -s 1M shrinks');
    socket.resume();
    await closed;
    expect(received()).toMatch(/^HTTP\/1\.1 200 /);
    expect(received().length).toBeLessThan(64 * MIB);
  });
});

describe('who may', () => {
  const every: [string, string, Sent][] = [
    ['POST', '', { json: { path: 'a', content: '' } }],
    ['POST', '?path=a&format=blob', { bytes: 'x' }],
    ['POST', '?path=a&format=stream', { bytes: 'x' }],
    ['GET', '?path=a', {}],
    ['GET', '?path=a&format=blob', {}],
    ['GET', '?path=a&format=stream', {}],
    ['DELETE', '?path=a', {}],
    ['GET', '/list?path=a', {}],
    ['GET', '/info?path=a', {}],
    ['GET', '/exists?path=a', {}],
    ['POST', '/mkdir', { json: { path: 'a' } }],
    ['POST', '/rename', { json: { oldPath: 'a', newPath: 'b' } }],
  ];

  test('only those whose sandbox it is, with the scope', async () => {
    const [stranger, reader] = await Promise.all([system.createKey(), system.createKey('--scopes', 'sandboxes:read,sandboxes:write')]);
    for (const [method, path, sent] of every) {
      expectFailure(await call(method, files(path), { ...sent, key: stranger.secret }), 'not_found', 404, 'Sandbox not found');
      for (const other of ['nobody', 'no%20id', `${id}x`]) expectFailure(await call(method, files(path, other), sent), 'not_found', 404, 'Sandbox not found');
      expectFailure(await call(method, files(path), { ...sent, key: reader.secret }), 'forbidden', 403, 'Missing scope: sandboxes:exec');
      expectFailure(await call(method, files(path), { ...sent, key: 'nobody' }), 'unauthorized', 401, 'Invalid or missing API key');
    }
    for (const [method, path] of [['PUT', ''], ['PATCH', ''], ['GET', '/nowhere'], ['POST', '/list?path=a'], ['DELETE', '/mkdir']] as const) expectFailure(await call(method, files(path)), 'not_found', 404, 'Route not found');
  });

  test('what is asked is looked at before the sandbox is', async () => {
    for (const [method, path, sent] of [
      ['POST', '', { json: {} }],
      ['POST', '?format=blob', { bytes: 'x' }],
      ['GET', '', {}],
      ['DELETE', '', {}],
      ['GET', '/list', {}],
      ['POST', '/rename', { json: {} }],
    ] as [string, string, Sent][]) {
      expectFailure(await call(method, files(path, 'nobody'), sent), 'invalid_request', 400);
    }
    expectFailure(await call('DELETE', files('?path=/', 'nobody')), 'validation_error', 400);
  });

  test('the agent may be named', async () => {
    expect((await call('GET', files('/exists?path=workspace&agent=demo'))).body).toBe(true);
    expect((await call('POST', files('?path=named&format=blob&agent=demo'), { bytes: 'x' })).status).toBe(200);
    for (const [method, path, sent] of every) expectFailure(await call(method, files(`${path}${path.includes('?') ? '&' : '?'}agent=large`), sent), 'not_found', 404, 'Sandbox not found');
  });
});

test('a sandbox that stands still is started by any call', async () => {
  await call('PUT', '/v1/agents/brief', { json: { model: 'scripted', sandbox: { timeoutMs: 1_000 } } });
  const brief = await create('brief');
  const stops = (): Promise<void> => eventually(async () => expect((await call('GET', `/v1/sandboxes/${brief}`)).body).toMatchObject({ status: 'stopped' }));
  await call('POST', files('', brief), { json: { path: 'kept', content: 'kept' } });
  await stops();
  expect((await call('GET', files('?path=kept', brief))).body).toEqual({ path: `${HOME}/kept`, content: 'kept' });
  await stops();
  expect((await call('GET', files('?path=kept&format=stream', brief))).bytes.toString()).toBe('kept');
  await stops();
  // It is not idle while something is on its way.
  const slow = Readable.from(
    (async function* () {
      for (let piece = 0; piece < 4; piece++) {
        yield Buffer.from('x');
        await new Promise(resolve => setTimeout(resolve, 500)); // The pace of the client: twice the idle time.
      }
    })(),
  );
  expect((await call('POST', files('?path=slow&format=stream', brief), { bytes: slow })).body).toMatchObject({ size: 4 });
  await call('DELETE', `/v1/sandboxes/${brief}`);
  expectFailure(await call('GET', files('?path=kept', brief)), 'not_found', 404, 'Sandbox not found');
});

describe('a sandbox at its worst', () => {
  test('its links lead nowhere outside of it', async () => {
    await exec('mkdir -p evil; cd evil; ln -s /etc/shadow shadow; ln -s /proc/1/environ environ; ln -s /proc/self/root/etc/shadow through-proc; ln -s ../../../../../../etc/shadow climbing; ln -s / root; ln -s loop loop');
    for (const path of ['shadow', 'environ', 'through-proc', 'climbing', 'loop', 'root/etc/shadow', 'root/proc/1/environ']) {
      const answer = await call('GET', at(`evil/${path}`));
      expect([400, 404]).toContain(answer.status);
      expect(answer.bytes.toString()).not.toMatch(/root:|PATH=/);
    }
    // The password file of the sandbox has its own accounts only.
    expect(((await call('GET', at('evil/root/etc/passwd'))).body as { content: string }).content).toContain('user:x:1000');
    expectFailure(await post({ path: 'evil/shadow', content: 'mine' }), 'validation_error', 400);
  });

  test.each(['../../../../../../etc/cron.d/x', '/../../../../etc/cron.d/x', '..', 'a/../../../../../etc/cron.d/x', '..\\..\\x', '/proc/self/cwd/../../../etc/x', './\u{202e}txt'])('the path %j is one inside', async path => {
    const answer = await post({ files: [{ path, content: 'x' }] });
    if (answer.status === 200) expect((answer.body as { files: { path: string }[] }).files[0]?.path.startsWith(HOME)).toBe(true);
    else expect([400, 409]).toContain(answer.status);
  });

  test('names with any characters are told as they are', async () => {
    const names = ['with space', 'new\nline', 'quo"te', 'tab\t', '%2e%2e', '&?#', 'ümläut', '-rf', '\u{1f600}'];
    expect((await post({ files: names.map(name => ({ path: `odd/${name}`, content: name })) })).status).toBe(200);
    expect(((await look('list', 'odd')).body as { name: string }[]).map(({ name }) => name).sort()).toEqual([...names].sort());
    for (const name of names) expect((await call('GET', at(`odd/${name}`))).body).toEqual({ path: `${HOME}/odd/${name}`, content: name });
  });

  test('a key that every object has is a file like any other', async () => {
    const answer = await call('POST', files(''), { bytes: '{"files": {"__proto__": "p", "constructor": "c", "toString": "t"}}' });
    expect(answer.body).toEqual({ files: [{ path: `${HOME}/__proto__`, size: 1 }, { path: `${HOME}/constructor`, size: 1 }, { path: `${HOME}/toString`, size: 1 }] });
  });
});

test('the published client works with files', async () => {
  const { files: client } = new AgentClient({ apiKey: secret, baseUrl: apps.gateway.url }).sandboxes;
  const sandboxId = await create();
  await client.write({ sandboxId, files: { 'a.txt': 'hello', '/home/user/dir/b.txt': 'ü' } });
  expect(await client.read({ sandboxId, path: 'a.txt' })).toEqual({ path: `${HOME}/a.txt`, content: 'hello' });
  expect((await client.list({ sandboxId, path: HOME, depth: 2 })).map(({ path, type }) => [path, type])).toEqual([
    [`${HOME}/a.txt`, 'file'],
    [`${HOME}/dir`, 'dir'],
    [`${HOME}/dir/b.txt`, 'file'],
    [`${HOME}/workspace`, 'dir'],
  ]);
  expect(await client.getInfo({ sandboxId, path: 'dir/b.txt' })).toMatchObject({ size: 2, permissions: '-rw-r--r--', owner: 'user' });
  expect([await client.exists({ sandboxId, path: 'a.txt' }), await client.exists({ sandboxId, path: 'b.txt' })]).toEqual([true, false]);
  expect([await client.makeDir({ sandboxId, path: 'new' }), await client.makeDir({ sandboxId, path: 'new' })]).toEqual([true, false]);
  expect(await client.rename({ sandboxId, oldPath: 'a.txt', newPath: 'new/c.txt' })).toMatchObject({ name: 'c.txt', path: `${HOME}/new/c.txt` });
  await client.remove({ sandboxId, path: 'new' });
  await expect(client.read({ sandboxId, path: 'new/c.txt' })).rejects.toThrow('File not found');
});

test('what is in files is in no log', async () => {
  const marker = `marker-${randomBytes(8).toString('hex')}`;
  await post({ path: 'secret', content: marker });
  await post({ files: { 'workspace/..': marker } });
  await call('POST', at('workspace', '&format=blob'), { bytes: marker });
  await call('GET', at('secret'));
  await call('GET', at('secret', '&format=stream'));
  for (const { log } of Object.values(apps)) expect(log.join('\n')).not.toContain(marker);
});
