import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { ContainerEvents } from './container-events.js';
import { EngineApi } from './engine-api.js';
import { uidBaseOf } from './probe.js';
import { agentReady } from './ready-output.js';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
const servers: { server: Server; directory: string }[] = [];

/** An engine that answers as a test says. */
async function engine(listener: RequestListener, timeoutMs?: number): Promise<EngineApi> {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-engine-'));
  const server = createServer(listener);
  await new Promise<void>(resolve => server.listen(join(directory, 'sock'), resolve));
  servers.push({ server, directory });
  return new EngineApi(join(directory, 'sock'), timeoutMs);
}

afterEach(() => {
  for (const { server, directory } of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  }
});

describe('calls to the engine', () => {
  test.each<[string, RequestListener]>([
    ['never answers', () => undefined],
    ['never ends its answer', (_request, response) => void response.writeHead(200).write('{"a":')],
  ])('end at their deadline when it %s', async (_how, listener) => {
    const api = await engine(listener, 100);
    await expect(api.info()).rejects.toMatchObject({ name: 'TimeoutError', message: 'The Docker Engine did not answer GET /info in time' });
  });

  test('take no endless answer', async () => {
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    const flood = (response: ServerResponse) => {
      while (!response.destroyed && response.write(chunk));
      response.once('drain', () => flood(response));
    };
    const api = await engine((_request, response) => flood(response.writeHead(200)));
    await expect(api.info()).rejects.toThrow('more than was asked for');
  });

  test('fail with its status and its words', async () => {
    const api = await engine((_request, response) => response.writeHead(409).end('{"message":"in use"}'));
    await expect(api.start('x')).rejects.toMatchObject({ name: 'EngineError', status: 409, message: 'in use' });
    await expect(api.attach('x')).rejects.toMatchObject({ status: 409, message: 'in use' });
  });

  test('a container that is not there is removed, and has ended', async () => {
    const api = await engine((_request, response) => response.writeHead(404).end('{"message":"No such container"}'));
    await api.remove('x');
    expect(await api.endsWithin('x', 1_000)).toBe(true);
  });

  test('a container that runs on has not ended', async () => {
    const api = await engine(() => undefined);
    expect(await api.endsWithin('x', 50)).toBe(false);
  });
});

describe('events', () => {
  test('are counted over lost connections, without those told before', async () => {
    const asked: string[] = [];
    const event = (Action: string, timeNano: number) => `${JSON.stringify({ Action, Actor: { ID: 'c' }, timeNano })}\n`;
    const api = await engine((request, response) => {
      asked.push(new URL(request.url ?? '', 'http://x').searchParams.get('since') ?? '');
      response.writeHead(200);
      if (asked.length === 1) {
        response.write(event('oom', 4e18).slice(0, 10));
        response.write(event('oom', 4e18).slice(10));
        response.end(event('oom', 4.000000002e18));
      } else {
        response.write(event('oom', 4.000000002e18)); // an engine gives those of the very moment again
        response.write(event('die', 4.1e18));
      }
    });
    const events = new ContainerEvents(api, ['gatehouse.node=n'], quiet);
    events.watch('c');
    events.listen();
    await eventually(() => expect(events.oomKillsOf('c')).toBe(2));
    await events.ended('c', 10_000);
    expect(events.oomKillsOf('c')).toBe(2);
    expect([asked.length, Number(asked[1]) >= 4_000_000_000]).toEqual([2, true]);
    expect(events.oomKillsOf('another')).toBe(0);
    await events.close();
  });

  test('of containers that nobody watches are not kept, nor waited for', async () => {
    const api = await engine((_request, response) => {
      response.writeHead(200);
      for (const id of ['gone', 'stranger', 'watched']) for (const Action of ['oom', 'die']) response.write(`${JSON.stringify({ Action, Actor: { ID: id }, timeNano: 4e18 })}\n`);
    });
    const events = new ContainerEvents(api, ['gatehouse.node=n'], quiet);
    for (const id of ['gone', 'watched']) events.watch(id);
    const waited = events.ended('gone', 10_000);
    events.forget('gone');
    await waited;
    events.listen();
    await events.ended('watched', 10_000);
    expect(['gone', 'stranger', 'watched'].map(id => events.oomKillsOf(id))).toEqual([0, 0, 1]);
    for (const id of ['gone', 'stranger']) await events.ended(id, 60_000);
    // Watched once more, it is not dead of what was told before.
    events.watch('gone');
    const again = events.ended('gone', 60_000).then(() => 'told');
    expect(await Promise.race([again, new Promise(resolve => setImmediate(resolve, 'waits'))])).toBe('waits');
    events.forget('gone');
    expect(await again).toBe('told');
    await events.close();
  });
});

describe('the first word of the agent', () => {
  const frame = (stream: number, text: string) => {
    const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(text.length, 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  const said = (parts: Buffer[], head = Buffer.alloc(0), end = true) => {
    const stream = new PassThrough();
    for (const part of parts) stream.write(part);
    if (end) stream.end();
    return agentReady({ stream, head }, AbortSignal.timeout(200));
  };

  test('may come with the answer, in pieces, or after other words', async () => {
    await said([], frame(1, 'r'), false);
    await said([frame(2, 'hello'), frame(1, 'r').subarray(0, 5), frame(1, 'r').subarray(5)], undefined, false);
  });

  test('is missed with what was said instead', async () => {
    await expect(said([frame(2, 'no such '), frame(2, 'library\n')])).rejects.toThrow('the agent ended before it was ready: no such library');
    await expect(said([], undefined, false)).rejects.toMatchObject({ name: 'TimeoutError' });
    await expect(said([Buffer.from([2, 0, 0, 0, 255, 255, 255, 255]), Buffer.alloc(100_000)])).rejects.toThrow('says more than');
  });
});

test.each([
  [['name=seccomp,profile=default', 'name=userns'], '/var/lib/docker/165536.165536', 165_536],
  [['name=userns'], '/var/lib/docker', null],
  [['name=seccomp,profile=default'], '/var/lib/docker/165536.165536', null],
  [null, '/var/lib/docker', null],
])('the ids of containers, with %j in %s: %s', (SecurityOptions, DockerRootDir, base) => {
  expect(uidBaseOf({ SecurityOptions, DockerRootDir })).toBe(base);
});
