import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisBus } from '../bus/redis-bus.js';
import { CountingSource, contentOf, drain } from '../testing/byte-sources.js';
import { eventually, expectError } from '../testing/expectations.js';
import { RedisServer, redisUrl } from '../testing/redis-server.js';
import { RecordingLogger, Stage } from '../testing/stage.js';
import { byteStreamsConformance } from './byte-streams.conformance.js';
import { CHUNK_BYTES, WINDOW_CHUNKS } from './frames.js';
import { newStreamRef } from './stream-ref.js';

const connect = (): RedisBus => new RedisBus({ url: redisUrl(), logger: new RecordingLogger() });
byteStreamsConformance('Redis', connect);

/** Bytes have come; they are not read. */
const moving = (stream: Readable): Promise<unknown> => once(stream, 'readable');

describe('byte streams over Redis: what Redis sees', () => {
  let stage: Stage;
  let redis: Redis;
  beforeEach(() => {
    stage = new Stage(connect);
    redis = new Redis(redisUrl());
  });
  afterEach(async () => {
    redis.disconnect();
    await stage.close();
  });

  test('never more than a window, nothing that can be read, and no key afterwards, however a stream ends', async () => {
    const monitor = await redis.monitor();
    const written: string[] = [];
    const left = new Set<string>();
    let leftMax = 0;
    try {
      monitor.on('monitor', (_time: string, [command = '', key = '', ...rest]: string[]) => {
        if (!key.includes(stage.namespace)) return;
        written.push(rest.join(' ').slice(0, 10_000));
        if (command.toLowerCase() === 'set') left.add(key);
        else if (['getdel', 'del'].includes(command.toLowerCase())) left.delete(key);
        leftMax = Math.max(leftMax, left.size);
      });
      const [from, to] = [stage.streams().streams, stage.streams().streams];
      const size = 20 * CHUNK_BYTES;
      const whole = newStreamRef();
      const received = drain(to.receive(whole));
      await from.send(whole, new CountingSource(size));
      expect((await received).size).toBe(size);

      const stopped = newStreamRef();
      const stream = to.receive(stopped);
      const sent = from.send(stopped, new CountingSource());
      await moving(stream);
      stream.destroy();
      await sent;
      await eventually(async () => (await redis.keys(`${stage.namespace}:*`)).length === 0);
    } finally {
      monitor.disconnect();
    }
    expect(leftMax).toBeGreaterThan(0);
    expect(leftMax).toBeLessThanOrEqual(WINDOW_CHUNKS);
    expect(written.length).toBeGreaterThan(40);
    expect(written.join('\n')).not.toContain('planted');
  });

  test('an upload by HTTP goes through with its failures, and its request can still be answered when the receiver stops', async () => {
    const [from, to] = [stage.streams().streams, stage.streams().streams];
    const { bytes, hash } = contentOf(3 * CHUNK_BYTES + 17);
    const ref = newStreamRef();
    const server = createServer((incoming, response) => {
      const source = Readable.from(incoming.iterator({ destroyOnReturn: false }));
      from.send(incoming.url?.slice(1) ?? '', source).then(
        ({ complete }) => response.end(String(complete)),
        () => response.destroy(),
      );
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const received = drain(to.receive(ref));
      expect(await (await fetch(`${url}/${ref}`, { method: 'PUT', body: new Uint8Array(bytes) })).text()).toBe('true');
      expect((await received).hash).toBe(hash);

      const stopped = newStreamRef();
      const stream = to.receive(stopped);
      stream.once('data', () => stream.destroy());
      expect(await (await fetch(`${url}/${stopped}`, { method: 'PUT', body: new Uint8Array(20 * CHUNK_BYTES) })).text()).toBe('false');

      const aborted = newStreamRef();
      const failing = to.receive(aborted);
      const upload = request(`${url}/${aborted}`, { method: 'PUT' }).on('error', () => undefined);
      upload.write(Buffer.alloc(CHUNK_BYTES));
      await moving(failing);
      upload.destroy();
      await expectError(drain(failing), 'internal_error');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe('byte streams over Redis: a process dies', () => {
  test.each(['send', 'receive'] as const)('by kill -9 while it was to %s: the other end fails within two seconds', async part => {
    const stage = new Stage(connect);
    const ref = newStreamRef();
    const runTypeScript = new URL('../testing/run-typescript.mjs', import.meta.url).href;
    const victim = fork(fileURLToPath(new URL('../testing/stream-process.ts', import.meta.url)), [redisUrl(), stage.namespace, stage.transportKey.toString('hex'), part, ref], {
      execArgv: ['--conditions=gatehouse-source', '--import', runTypeScript],
    });
    try {
      const { streams } = stage.streams({ streamArrivalMs: 30_000 });
      let fails: Promise<unknown>;
      if (part === 'send') {
        const stream = streams.receive(ref);
        await moving(stream);
        fails = expectError(drain(stream), 'internal_error', 503);
      } else {
        const source = new CountingSource();
        fails = expectError(streams.send(ref, source), 'internal_error', 503);
        await eventually(() => source.taken > 2 * WINDOW_CHUNKS * CHUNK_BYTES, 20_000);
      }
      const killed = performance.now();
      victim.kill('SIGKILL');
      await fails;
      expect(performance.now() - killed).toBeLessThan(2_000);
    } finally {
      victim.kill('SIGKILL');
      await stage.close();
    }
  }, 40_000);
});

describe('byte streams in an outage of Redis', () => {
  test('fail at both ends at once, and new ones work when it is back', async () => {
    const redis = await RedisServer.start();
    const stage = new Stage(() => new RedisBus({ url: redis.url, logger: new RecordingLogger(), commandTimeoutMs: 500, heartbeatMs: 200 }));
    try {
      const [from, to] = [stage.streams(), stage.streams()];
      for (let outage = 0; outage < 2; outage++) {
        const ref = newStreamRef();
        const stream = to.streams.receive(ref);
        const sent = expectError(from.streams.send(ref, new CountingSource()), 'internal_error', 503);
        await moving(stream);
        const received = expectError(drain(stream), 'internal_error', 503);
        const killed = performance.now();
        await redis.kill();
        await Promise.all([sent, received]);
        await expectError(from.streams.send(newStreamRef(), new CountingSource()), 'internal_error', 503);
        expect(performance.now() - killed).toBeLessThan(1_000);

        await redis.start();
        await eventually(() => from.bus.state === 'up' && to.bus.state === 'up');
        const again = newStreamRef();
        const { bytes, hash } = contentOf(CHUNK_BYTES * 2);
        const [{ complete }, seen] = await Promise.all([from.streams.send(again, Readable.from([bytes])), drain(to.streams.receive(again))]);
        expect(complete).toBe(true);
        expect(seen.hash).toBe(hash);
      }
    } finally {
      await stage.close();
      await redis.close();
    }
  }, 30_000);

  test('that is a silence instead of a closed connection fails them too', async () => {
    const redis = await RedisServer.start();
    const stage = new Stage(() => new RedisBus({ url: redis.url, logger: new RecordingLogger(), commandTimeoutMs: 500, heartbeatMs: 200 }));
    try {
      const [from, to] = [stage.streams(), stage.streams()];
      const ref = newStreamRef();
      const stream = to.streams.receive(ref);
      const sent = expectError(from.streams.send(ref, new CountingSource()), 'internal_error', 503);
      await moving(stream);
      redis.signal('SIGSTOP');
      const stopped = performance.now();
      await Promise.all([sent, expectError(drain(stream), 'internal_error', 503)]);
      expect(performance.now() - stopped).toBeLessThan(3_000);
      redis.signal('SIGCONT');
    } finally {
      await stage.close();
      await redis.close();
    }
  }, 30_000);
});
