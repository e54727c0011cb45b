import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { AgentClient } from './agent-client.js';
import { AgentFiles } from './agent-files.js';
import { encodeFrame, FrameType } from './agent-frames.js';

const TIMEOUT_MS = 500;
const MIB = 1024 * 1024;
const UPGRADED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: gatehouse-exec/1\r\n\r\n';
const STARTED = encodeFrame(FrameType.started, '{"id":"x","pid":5}');
const EXIT = encodeFrame(FrameType.exit, '{"code":0,"signal":null,"timedOut":false,"truncated":false,"stdoutBytes":0,"stderrBytes":0}');
const SPEC = { command: 'true', cwd: '/', env: {}, capBytes: 1000 };

/** Writes `first` once, then the chunk again and again, as fast as the other side takes it. */
function flood(socket: Socket, chunk: string | Buffer, first: string | Buffer = ''): void {
  if (first.length > 0) socket.write(first);
  while (!socket.destroyed && socket.write(chunk));
  socket.once('drain', () => flood(socket, chunk));
}

describe('an agent that lies', () => {
  let directory: string;
  let server: Server;
  let answer: (socket: Socket) => void;
  let client: AgentClient;
  let files: AgentFiles;
  let violations: Error[];
  const open = new Set<Socket>();

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gatehouse-liar-'));
    violations = [];
    server = createServer(socket => {
      open.add(socket);
      socket.on('error', () => undefined).on('close', () => open.delete(socket));
      socket.once('data', () => answer(socket));
    });
    await new Promise<void>(resolve => server.listen(join(directory, 'socket'), resolve));
    client = new AgentClient(() => connect(join(directory, 'socket')), error => violations.push(error), TIMEOUT_MS);
    files = new AgentFiles(client, TIMEOUT_MS);
  });

  afterEach(async () => {
    for (const socket of open) socket.destroy();
    await new Promise(resolve => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  test.each<[string, (socket: Socket) => void]>([
    ['with endless headers', socket => flood(socket, 'x-header: value\r\n', 'HTTP/1.1 200 OK\r\n')],
    ['with one endless header', socket => flood(socket, Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nx: '), Buffer.alloc(64 * 1024, 'y')]))],
    ['with an endless body', socket => flood(socket, `1000\r\n${'z'.repeat(0x1000)}\r\n`, 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')],
    ['in another language', socket => socket.write('SSH-2.0-OpenSSH_9.2\r\n')],
    ['without JSON', socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello')],
    ['with other JSON', socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]')],
    ['with the wrong fields', socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n{"agentVersion":{},"processes":"-1"}')],
    ['with an upgrade nobody asked for', socket => socket.write(UPGRADED)],
  ])('%s is a violation', async (_name, lie) => {
    answer = lie;
    const before = process.memoryUsage().rss;
    await expect(client.health()).rejects.toMatchObject({ name: 'DriverError', kind: 'unavailable' });
    expect(violations).toHaveLength(1);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB);
  });

  test('with endless promises of an answer, or none, is over at the deadline', async () => {
    for (const lie of [(socket: Socket) => flood(socket, 'HTTP/1.1 100 Continue\r\n\r\n'), () => undefined, (socket: Socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel')]) {
      answer = lie;
      const begun = performance.now();
      await expect(client.health()).rejects.toMatchObject({ kind: 'timed-out' });
      expect(performance.now() - begun).toBeLessThan(TIMEOUT_MS + 1_000);
    }
  });

  test('by hanging up is only away', async () => {
    answer = socket => socket.destroy();
    await expect(client.health()).rejects.toMatchObject({ kind: 'unavailable' });
    expect(violations).toEqual([]);
  });

  test.each<[string, (string | Buffer)[]]>([
    ['a frame of 4 GiB', [UPGRADED, Buffer.from([FrameType.stdout, 0xff, 0xff, 0xff, 0xff])]],
    ['a frame of an unknown type', [UPGRADED, Buffer.from([0x77, 0, 0, 0, 0])]],
    ['a start that is not JSON', [UPGRADED, encodeFrame(FrameType.started, '{')]],
    ['output before the start', [UPGRADED, encodeFrame(FrameType.stdout, 'early')]],
    ['no upgrade', ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n']],
  ])('with %s instead of a process is a violation', async (_name, bytes) => {
    answer = socket => bytes.forEach(chunk => socket.write(chunk));
    await expect(client.exec(SPEC)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(violations).toHaveLength(1);
  });

  test.each<[string, (string | Buffer)[]]>([
    ['a second start', [STARTED, STARTED]],
    ['more output than the cap', [STARTED, encodeFrame(FrameType.stdout, 'x'.repeat(1001))]],
    ['an exit that is not JSON', [STARTED, encodeFrame(FrameType.exit, 'null')]],
    ['a signal that does not exist', [STARTED, encodeFrame(FrameType.exit, '{"code":null,"signal":"__proto__","stdoutBytes":0,"stderrBytes":0}')]],
  ])('with %s from a process is a violation', async (_name, frames) => {
    answer = socket => [UPGRADED, ...frames].forEach(chunk => socket.write(chunk));
    const process = await client.exec(SPEC);
    await expect(process.exit).rejects.toMatchObject({ kind: 'unavailable' });
    expect(violations).toHaveLength(1);
  });

  test('by a second exit is not heard', async () => {
    answer = socket => [UPGRADED, STARTED, EXIT, EXIT].forEach(chunk => socket.write(chunk));
    const process = await client.exec(SPEC);
    await expect(process.exit).resolves.toMatchObject({ code: 0 });
    expect(violations).toEqual([]);
  });

  test('by silence after the upgrade is over at the deadline', async () => {
    answer = socket => socket.write(UPGRADED);
    await expect(client.exec(SPEC)).rejects.toMatchObject({ kind: 'timed-out' });
  });

  test('is never quoted to the caller', async () => {
    const body = '{"code":"failed","message":"<script>"}';
    answer = socket => socket.end(`HTTP/1.1 500 No\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    const error: Error = await client.killAll().then(() => new Error('no refusal'), (reason: Error) => reason);
    expect(error.message).toBe('The sandbox refused');
    expect(String(error.cause)).toContain('<script>');
  });

  describe('about files', () => {
    const json = (body: unknown, status = '200 OK') => {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      return (socket: Socket) => void socket.end(`HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    };
    const entry = { path: 'a', type: 'file', size: 1, mode: 0o644, uid: 1000, gid: 1000, modifiedMs: 0 };
    const listing = (...entries: object[]) => ({ truncated: false, entries: entries.map(each => ({ ...entry, ...each })) });
    const list = () => files.list('/home/user', { depth: 2, maxEntries: 3 });
    const content = (head: string) => `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n${head}\r\n\r\n`;

    test('an honest one is understood', async () => {
      answer = json(listing({ path: 'a', type: 'dir' }, { path: 'a/b', symlinkTarget: '/x', type: 'symlink' }, { path: 'a\ufffd', type: undefined, modifiedMs: -1 }));
      const { entries } = await list();
      expect(entries.map(({ name, path }) => [name, path])).toEqual([['a', '/home/user/a'], ['b', '/home/user/a/b'], ['a\ufffd', '/home/user/a\ufffd']]);
      expect(entries[1]).toEqual({ ...entry, name: 'b', path: '/home/user/a/b', type: 'symlink', symlinkTarget: '/x' });
      expect(violations).toEqual([]);
    });

    test.each<[string, unknown]>([
      ['that is none', { truncated: false }],
      ['of other things', { entries: [1] }],
      ['longer than asked for', listing({ path: 'a' }, { path: 'b' }, { path: 'c' }, { path: 'd' })],
      ['deeper than asked for', listing({ path: 'a/b/c' })],
      ['out of order', listing({ path: 'b' }, { path: 'a' })],
      ['in the order of UTF-16', listing({ path: '😀' }, { path: '\ufffc' })],
      ['with a path that climbs', listing({ path: '../x' })],
      ['with a path that climbs later', listing({ path: 'a/..' })],
      ['with an absolute path', listing({ path: '/etc' })],
      ['with an empty name', listing({ path: 'a/' })],
      ['with no name', listing({ path: '' })],
      ['with a path that is no text', listing({ path: ['a'] })],
      ['with NUL in a name', listing({ path: 'a\0b' })],
      ['with half a character in a name', '{"entries":[{"path":"\\ud800","size":1,"mode":1,"uid":1,"gid":1,"modifiedMs":1}]}'],
      ['with a name too long', listing({ path: 'n'.repeat(256) })],
      ['with an unknown type', listing({ type: 'socket' })],
      ['with a type of everything', listing({ type: 'constructor' })],
      ['with a negative size', listing({ size: -1 })],
      ['with half a byte', listing({ size: 0.5 })],
      ['with a size beyond all', listing({ size: 1e300 })],
      ['with a mode beyond all', listing({ mode: 0o10000 })],
      ['with no owner', listing({ uid: null })],
      ['with a time that is none', '{"entries":[{"path":"a","size":1,"mode":1,"uid":1,"gid":1,"modifiedMs":1e999}]}'],
      ['with a link to NUL', listing({ symlinkTarget: 'a\0' })],
      ['with a link to an object', listing({ symlinkTarget: {} })],
    ])('a list %s is a violation', async (_name, body) => {
      answer = json(body);
      await expect(list()).rejects.toMatchObject({ name: 'DriverError', kind: 'unavailable' });
      expect(violations).toHaveLength(1);
    });

    test('a list without end is a violation in bounds', async () => {
      answer = socket => flood(socket, `1000\r\n${' '.repeat(0x1000)}\r\n`, 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      const before = process.memoryUsage().rss;
      await expect(list()).rejects.toMatchObject({ kind: 'unavailable' });
      expect(violations).toHaveLength(1);
      expect(process.memoryUsage().rss - before).toBeLessThan(96 * MIB);
    });

    test.each<[string, string]>([
      ['no length', 'transfer-encoding: chunked'],
      ['two lengths', 'content-length: 5\r\ncontent-length: 6'],
      ['a negative length', 'content-length: -1'],
      ['a length beyond all', 'content-length: 99999999999999999999'],
      ['a length beyond safe numbers', 'content-length: 9007199254740993'],
    ])('content of %s is a violation', async (_name, head) => {
      answer = socket => socket.write(content(head));
      await expect(files.read('/x')).rejects.toMatchObject({ kind: 'unavailable' });
      expect(violations).toHaveLength(1);
    });

    test('content that is promised and does not come costs nothing and fails its reader', async () => {
      answer = socket => socket.end(`${content('content-length: 8796093022208')}few`);
      const before = process.memoryUsage();
      const { size, content: body } = await files.read('/x');
      expect(size).toBe(8 * 1024 ** 4);
      await expect(buffer(body)).rejects.toMatchObject({ name: 'DriverError', kind: 'unavailable', message: 'The content of the file broke off' });
      expect(process.memoryUsage().rss - before.rss).toBeLessThan(32 * MIB);
      expect(violations).toEqual([]);
    });

    test('content that stops coming fails a reader who waits, and not one who takes his time', async () => {
      answer = socket => socket.write(`${content(`content-length: ${4 * MIB}`)}${'x'.repeat(2 * MIB)}`);
      const { content: body } = await files.read('/x');
      const chunks = body[Symbol.asyncIterator]();
      await chunks.next();
      await delay(2 * TIMEOUT_MS); // longer than the agent may be silent: it is the reader who is slow
      expect(body.destroyed).toBe(false);
      const begun = performance.now();
      await expect((async () => { while (!(await chunks.next()).done); })()).rejects.toMatchObject({ kind: 'timed-out' });
      expect(performance.now() - begun).toBeLessThan(TIMEOUT_MS + 1_000);
    });

    test('more content than promised is not given to anybody', async () => {
      answer = socket => socket.end(`${content('content-length: 3')}more`);
      expect(String(await files.read('/x').then(({ content: body }) => buffer(body), () => 'mor'))).toBe('mor');
    });

    test.each<[string, unknown]>([['fewer bytes', { bytes: 3 }], ['more bytes', { bytes: 5 }], ['no bytes', {}]])('a write of %s than were sent is a violation', async (_name, body) => {
      answer = json(body);
      await expect(files.write('/x', Buffer.from('four'))).rejects.toMatchObject({ kind: 'unavailable' });
      expect(violations).toHaveLength(1);
    });

    test('a write that is answered before it was sent is a violation, and its source is let go of', async () => {
      answer = json({ bytes: 4 });
      const source = new Readable({ read: () => undefined });
      source.push('four');
      await expect(files.write('/x', source)).rejects.toMatchObject({ kind: 'unavailable' });
      expect(violations).toHaveLength(1);
      expect(source.destroyed).toBe(true);
    });

    test('half a refusal, or none, of a write ends at the deadline, however slow the source', async () => {
      for (const lie of [(socket: Socket) => void socket.write('HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nhel'), (socket: Socket) => void socket.pause()]) {
        answer = lie;
        const source = new Readable({ read: () => undefined });
        source.push(Buffer.alloc(8 * MIB));
        await expect(files.write('/x', source)).rejects.toMatchObject({ kind: 'timed-out' });
        expect(source.destroyed).toBe(true);
      }
    });

    test('a write whose source is slow has all the time it needs', async () => {
      answer = socket => {
        socket.on('data', (chunk: Buffer) => chunk.includes('0\r\n\r\n') && json({ bytes: 8 })(socket));
      };
      const source = Readable.from((async function* () { yield 'four'; await delay(2 * TIMEOUT_MS); yield 'more'; })());
      expect(await files.write('/x', source)).toBe(8);
    });

    test.each<[string, () => Promise<unknown>, unknown]>([
      ['mkdir', () => files.mkdir('/x'), { created: 'yes' }],
      ['stat', () => files.stat('/x'), { ...entry, size: '1' }],
      ['rename', () => files.rename('/x', '/y'), {}],
      ['remove', () => files.remove('/x'), '[]'],
    ])('a wrong answer to %s is a violation', async (_name, call, body) => {
      answer = json(body);
      await expect(call()).rejects.toMatchObject({ kind: 'unavailable' });
      expect(violations).toHaveLength(1);
    });

    test.each(['unheard-of', '__proto__', 'constructor', 5, null, { toString: 1 }])('a refusal with the code %p is a failure', async code => {
      answer = json({ code, message: 'x' }, '500 No');
      await expect(files.stat('/x')).rejects.toMatchObject({ kind: 'failed', message: 'The sandbox refused' });
      expect(violations).toEqual([]);
    });
  });
});
