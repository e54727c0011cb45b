import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentClient } from './agent-client.js';
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
});
