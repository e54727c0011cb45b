import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { RedisBus } from './bus/redis-bus.js';
import { rpcConformance } from './rpc.conformance.js';
import { demoCaller as caller } from './testing/demos.js';
import { eventually, expectError } from './testing/expectations.js';
import { redisUrl } from './testing/redis-server.js';
import { RecordingLogger, Stage } from './testing/stage.js';

const connect = (): RedisBus => new RedisBus({ url: redisUrl(), logger: new RecordingLogger() });
rpcConformance('Redis', connect);

describe('RPC over Redis: what Redis sees', () => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage(connect);
  });
  afterEach(() => stage.close());

  test('nothing of a call, its secrets least of all, by MONITOR', async () => {
    const redis = new Redis(redisUrl());
    const monitor = await redis.monitor();
    const seen: string[] = [];
    monitor.on('monitor', (_time: string, args: string[]) => {
      if (args.some(arg => arg.includes(stage.namespace))) seen.push(args.join(' '));
    });
    await stage.instance('a');
    const client = stage.client();
    await client.keep(caller, { name: 'visible-name', password: 'planted-password', auth: { token: 'planted-token' } });
    expect(await client.reveal(caller, { text: 'visible-text' })).toEqual({ secret: 'visible-text revealed' });
    await client.echo(caller, { text: 'the end' });
    await eventually(() => seen.filter(line => line.startsWith('publish')).length === 6);
    monitor.disconnect();
    redis.disconnect();

    const everything = seen.join('\n');
    for (const text of ['visible-name', 'visible-text', 'the end', 'planted', caller.teamId]) {
      for (const form of [text, Buffer.from(text).toString('base64').slice(0, -4), Buffer.from(text).toString('hex')]) expect(everything).not.toContain(form);
    }
    expect(everything).not.toContain('visible-text revealed');
  });

  test('of a large message only a slip on the channel, and no key afterwards', async () => {
    await stage.instance('a');
    const client = stage.client();
    await client.echo(caller, { text: 'connected' });
    const redis = new Redis(redisUrl());
    const monitor = await redis.monitor();
    try {
      const published: number[] = [];
      monitor.on('monitor', (_time: string, [command, channel = '', message = '']: string[]) => {
        if (command?.toLowerCase() === 'publish' && channel.includes(stage.namespace)) published.push(message.length);
      });
      expect((await client.inflate(caller, { size: 1_000_000 })).filling).toHaveLength(1_000_000);
      expect(await client.measure(caller, { payload: 'x'.repeat(1_000_000) })).toEqual({ length: 1_000_000 });
      await eventually(() => published.length === 4);
      // MONITOR writes most bytes as four characters.
      expect(Math.max(...published)).toBeLessThan(4 * 500);
      expect(await redis.keys(`${stage.namespace}:*`)).toEqual([]);
    } finally {
      monitor.disconnect();
      redis.disconnect();
    }
  });

  test('more large answers at once than Redis lets a subscriber have unread', async () => {
    await stage.instance('a');
    const client = stage.client();
    // Published whole, 60 MB would cost the reply connection, and with it every call in flight.
    const answers = await Promise.all(Array.from({ length: 12 }, async () => client.inflate(caller, { size: 5_000_000 }, { timeoutMs: 30_000 })));
    expect(answers.map(({ filling }) => filling.length)).toEqual(answers.map(() => 5_000_000));
  }, 40_000);

  test('one reply channel per client: nobody else gets its answers', async () => {
    await stage.instance('a');
    const [one, other] = [stage.client(), stage.client()];
    await Promise.all([one.echo(caller, { text: '1' }), other.echo(caller, { text: '2' })]);
    const redis = new Redis(redisUrl());
    const replies = (await redis.pubsub('CHANNELS', `${stage.namespace}:rpc-reply:*`)) as string[];
    expect(replies).toHaveLength(2);
    expect(await redis.pubsub('NUMSUB', ...replies)).toEqual([replies[0], 1, replies[1], 1]);
    redis.disconnect();
  });
});

describe('RPC over Redis: a service process dies', () => {
  test('by kill -9: calls in flight are 503 within a second, the next is served by the other replica', async () => {
    const stage = new Stage(connect);
    const args = [redisUrl(), stage.namespace, stage.transportKey.toString('hex'), 'victim'];
    const runTypeScript = new URL('./testing/run-typescript.mjs', import.meta.url).href;
    const victim = fork(fileURLToPath(new URL('./testing/demo-process.ts', import.meta.url)), args, { execArgv: ['--conditions=gatehouse-source', '--import', runTypeScript] });
    try {
      await once(victim, 'message');
      const client = stage.client();
      const calls = Array.from({ length: 50 }, (_, index) => client.hold(caller, { text: `call ${index}` }, { instance: 'victim' }));
      const failures = Promise.all(calls.map(call => expectError(call, 'internal_error', 503)));
      // Answered in order, so all of the above have arrived.
      expect(await client.echo(caller, { text: 'last' }, { instance: 'victim' })).toEqual({ text: 'last', instance: 'victim' });
      await stage.instance('other');

      const killed = performance.now();
      victim.kill('SIGKILL');
      await failures;
      expect(performance.now() - killed).toBeLessThan(1_000);
      for (let turn = 0; turn < 20; turn++) expect(await client.echo(caller, { text: 'next' })).toEqual({ text: 'next', instance: 'other' });
    } finally {
      victim.kill('SIGKILL');
      await stage.close();
    }
  });
});
