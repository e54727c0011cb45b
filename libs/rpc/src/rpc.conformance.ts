import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { EncryptedBus } from './bus/encrypted-bus.js';
import type { MessageBus } from './bus/message-bus.js';
import { demoCaller as caller, demosRpc, sandboxDemosRpc } from './testing/demos.js';
import { eventually, expectError } from './testing/expectations.js';
import { Stage } from './testing/stage.js';

/** What every message bus must give RPC. `connect` is one process's connection to a bus shared by all. */
export const rpcConformance = (name: string, connect: () => MessageBus): void => {
  let stage: Stage;
  beforeEach(() => {
    stage = new Stage(connect);
  });
  afterEach(() => stage.close());

  const texts = (count: number): string[] => Array.from({ length: count }, (_, index) => `call ${index}`);

  describe(`RPC over ${name}: what crosses`, () => {
    test('the caller, the input and the result, as they are', async () => {
      const { state } = await stage.instance('a');
      const whole = { ...caller, endUserId: 'user "ü" \u2028', agents: ['one'], userId: 'someone' };
      expect(await stage.client().echo(whole, { text: 'grüße \ud83d\ude00 \u0001' })).toEqual({ text: 'grüße \ud83d\ude00 \u0001', instance: 'a' });
      expect(state.callers).toEqual([whole]);
    });

    test('no result at all', async () => {
      await stage.instance('a');
      expect(await stage.client().nothing(caller, {})).toBeUndefined();
    });

    test('a typed error, with its extras and without a status', async () => {
      await stage.instance('a');
      const error = await expectError(stage.client().refuse(caller, {}), 'budget_exceeded', 422);
      expect(error.message).toBe('Budget exceeded');
      expect(error.extras).toEqual({ scope: 'team', scopeId: null, limitUsd: 1, spentUsd: 0.5, heldUsd: 0.5, resetsAt: null });
      expect(stage.logger.of('error')).toEqual([]);
    });

    test('of an unknown throw only a fixed text; its cause is logged once, with the request id', async () => {
      await stage.instance('a');
      const error = await expectError(stage.client().crash(caller, {}), 'internal_error', 500);
      expect(error.message).toBe('Internal server error');
      expect(JSON.stringify(error.toWire())).not.toContain('planted');

      expect(stage.logger.of('error')).toHaveLength(1);
      expect(stage.logger.of('error')[0]?.fields).toMatchObject({ requestId: 'request-1', pattern: 'demos.crash', err: { message: 'planted cause' } });
    });

    test('nothing that the service does not accept: it validates again', async () => {
      const { state } = await stage.instance('a');
      const client = stage.client();
      expect((await expectError(client.echo(caller, {} as never), 'invalid_request')).message).toBe('text is required');
      expect((await expectError(client.echo(caller, { text: '' }), 'validation_error')).message).toBe('text must not be empty');
      expect(state.handled).toEqual([]);
    });

    test('a sealed field, opened before it is validated', async () => {
      await stage.instance('a');
      const client = stage.client();
      expect(await client.keep(caller, { name: 'n', password: 'abc', auth: { token: 'xyz' } })).toEqual({ name: 'n', seen: 'zyx cba' });
      expect((await expectError(client.keep(caller, { name: 'n', password: 'abc', auth: {} as never }), 'validation_error')).message).toBe('auth must have a token');
      expect((await expectError(client.keep(caller, { name: 'n', auth: { token: 't' } } as never), 'invalid_request')).message).toBe('password is required');
    });

    test('a sealed result', async () => {
      await stage.instance('a');
      expect(await stage.client().reveal(caller, { text: 'secret' })).toEqual({ secret: 'secret revealed' });
    });

    test('nothing between processes with different transport keys, and a log that says why', async () => {
      await stage.instance('a', { transportKey: Buffer.alloc(32, 1) });
      await expectError(stage.client().echo(caller, { text: 'x' }, { timeoutMs: 200 }), 'internal_error', 503);
      expect(stage.logger.of('warn').map(({ message }) => message)).toContain('Message of no process of this installation dropped: is GATEHOUSE_TRANSPORT_KEY the same everywhere?');
    });

    test('no packet above its bound, in either direction', async () => {
      const packetBytesMax = 1_000_000;
      await stage.instance('a', { packetBytesMax });
      const client = stage.client({ packetBytesMax });
      expect((await client.inflate(caller, { size: 900_000 })).filling).toHaveLength(900_000);
      await expectError(client.inflate(caller, { size: 1_000_000 }), 'internal_error', 500);
      expect(stage.logger.of('error').map(({ message }) => message)).toEqual(['RPC result cannot be sent']);
      await expectError(client.measure(caller, { payload: 'x'.repeat(1_000_000) }), 'internal_error', 500);
      await expectError(client.measure(caller, { payload: '\u20ac'.repeat(400_000) }), 'internal_error', 500);
    });
  });

  describe(`RPC over ${name}: who is asked`, () => {
    test('exactly one of two replicas handles each call, and both get a share', async () => {
      const [a, b] = [await stage.instance('a'), await stage.instance('b')];
      const client = stage.client();
      const calls = texts(400);
      const answers = await Promise.all(calls.map(text => client.echo(caller, { text })));

      expect(answers.map(({ text }) => text)).toEqual(calls);
      expect([...a.state.handled, ...b.state.handled].sort()).toEqual([...calls].sort());
      expect(a.state.handled.length).toBeGreaterThan(100);
      expect(b.state.handled.length).toBeGreaterThan(100);
    });

    test('the less busy instance is preferred', async () => {
      const [a, b] = [await stage.instance('a'), await stage.instance('b')];
      const client = stage.client();
      const held = texts(20).map(text => client.hold(caller, { text }, { instance: 'a' }));
      await eventually(() => a.state.held.size === 20);
      for (const text of texts(20)) expect(await client.echo(caller, { text })).toEqual({ text, instance: 'b' });
      expect(b.state.handled).toHaveLength(20);
      for (const text of texts(20)) a.state.release(text);
      await Promise.all(held);
    });

    test('the named instance, and no other', async () => {
      await stage.instance('a');
      await stage.instance('b');
      const client = stage.client();
      for (const instance of ['b', 'a', 'b', 'b', 'a']) expect(await client.echo(caller, { text: 'x' }, { instance })).toEqual({ text: 'x', instance });
      await expectError(client.echo(caller, { text: 'x' }, { instance: 'c' }), 'internal_error', 503);
    });

    test('of two boots with one name the one that lives', async () => {
      const old = await stage.instance('a');
      const client = stage.client();
      await client.echo(caller, { text: 'old' }, { instance: 'a' });
      await old.kill();
      const reborn = await stage.instance('a');
      await client.echo(caller, { text: 'new' }, { instance: 'a' });
      expect(reborn.state.handled).toEqual(['new']);
    });

    test('an instance that has just started, without waiting for a cache', async () => {
      const client = stage.client();
      await expectError(client.echo(caller, { text: 'x' }), 'internal_error', 503);
      const a = await stage.instance('a');
      expect(await client.echo(caller, { text: 'x' })).toEqual({ text: 'x', instance: 'a' });
      await a.app.close();
      await stage.instance('b');
      expect(await client.echo(caller, { text: 'x' })).toEqual({ text: 'x', instance: 'b' });
    });

    test('nobody is there: 503 at once, in the words of the service that is missing', async () => {
      const started = performance.now();
      const clients = stage.clients();
      const error = await expectError(clients.of(sandboxDemosRpc).hold(caller, { text: 'x' }), 'sandbox_error', 503);
      expect(error.message).toBe('Sandbox service is not reachable');
      expect(performance.now() - started).toBeLessThan(1_000);
    });

    test('the live instances of a service can be listed', async () => {
      const clients = stage.clients();
      expect(await clients.instances('budget')).toEqual([]);
      await stage.instance('a');
      const b = await stage.instance('b');
      expect((await clients.instances('budget')).sort()).toEqual(['a', 'b']);
      await b.app.close();
      expect(await clients.instances('budget')).toEqual(['a']);
      expect(await clients.instances('sandbox')).toEqual([]);
    });
  });

  describe(`RPC over ${name}: things that one instance holds`, () => {
    test('a call is sent on to the holder, and the next goes there directly', async () => {
      const [a, b] = [await stage.instance('a'), await stage.instance('b')];
      for (const text of texts(20)) a.state.holders.set(text, 'b');
      const client = stage.client();
      for (const text of texts(20)) expect(await client.locate(caller, { text })).toEqual({ text, instance: 'b' });
      const asked = a.state.handled.length;
      expect(asked).toBeGreaterThan(0);
      for (const text of texts(20)) expect(await client.locate(caller, { text })).toEqual({ text, instance: 'b' });
      expect(a.state.handled).toHaveLength(asked);
      expect(b.state.handled).toHaveLength(40);
    });

    test('a holder that is gone is forgotten, and another is asked', async () => {
      const a = await stage.instance('a');
      const b = await stage.instance('b');
      a.state.holders.set('thing', 'b');
      const client = stage.client();
      expect(await client.locate(caller, { text: 'thing' })).toEqual({ text: 'thing', instance: 'b' });
      await b.kill();
      a.state.holders.clear();
      expect(await client.locate(caller, { text: 'thing' })).toEqual({ text: 'thing', instance: 'a' });
      expect(await client.locate(caller, { text: 'thing' })).toEqual({ text: 'thing', instance: 'a' });
    });

    test('two instances that send a call to each other end in a 503, not in a circle', async () => {
      const [a, b] = [await stage.instance('a'), await stage.instance('b')];
      a.state.holders.set('thing', 'b');
      b.state.holders.set('thing', 'a');
      await expectError(stage.client().locate(caller, { text: 'thing' }), 'internal_error', 503);
      expect(a.state.handled.length + b.state.handled.length).toBe(4);
    });

    test('a named holder that is not there is a 503', async () => {
      const a = await stage.instance('a');
      a.state.holders.set('thing', 'nowhere');
      await expectError(stage.client().locate(caller, { text: 'thing' }), 'internal_error', 503);
    });
  });

  describe(`RPC over ${name}: time`, () => {
    test('after its deadline a call is a 503 and its handler sees the abort', async () => {
      const { state } = await stage.instance('a');
      const error = await expectError(stage.client().hold(caller, { text: 'slow' }, { timeoutMs: 100 }), 'internal_error', 503);
      expect(error.message).toBe('Service temporarily unavailable');
      await eventually(() => state.aborted.includes('slow'));
      state.release('slow');
    });

    test('a caller who gives up gets his own reason, and the handler sees the abort', async () => {
      const { state } = await stage.instance('a');
      const controller = new AbortController();
      const call = stage.client().hold(caller, { text: 'unwanted' }, { signal: controller.signal });
      call.catch(() => undefined);
      await eventually(() => state.held.has('unwanted'));
      const reason = new Error('changed my mind');
      controller.abort(reason);
      await expect(call).rejects.toBe(reason);
      await eventually(() => state.aborted.includes('unwanted'));
      state.release('unwanted');

      await expect(stage.client().echo(caller, { text: 'x' }, { signal: controller.signal })).rejects.toBe(reason);
      expect(state.handled).toEqual([]);
    });

    test('a call to an instance that dies is a 503 within a second, and the next is served by another', async () => {
      const a = await stage.instance('a');
      await stage.instance('b');
      const client = stage.client();
      const call = client.hold(caller, { text: 'lost' }, { instance: 'a' });
      call.catch(() => undefined);
      await eventually(() => a.state.held.has('lost'));
      const died = performance.now();
      await a.kill();
      await expectError(call, 'internal_error', 503);
      expect(performance.now() - died).toBeLessThan(1_000);
      for (const text of texts(10)) expect(await client.echo(caller, { text })).toEqual({ text, instance: 'b' });
      a.state.release('lost');
    });

    test('a full instance says when to come back', async () => {
      const { state } = await stage.instance('a', { requestsMax: 2 });
      const client = stage.client();
      const held = ['one', 'two'].map(text => client.hold(caller, { text }));
      await eventually(() => state.held.size === 2);
      expect((await expectError(client.echo(caller, { text: 'x' }), 'internal_error', 503)).retryAfter).toBe(1);
      state.release('one');
      state.release('two');
      await Promise.all(held);
    });

    test('large results go out one after the other, and all of them', async () => {
      await stage.instance('a');
      const client = stage.client();
      const sizes = Array.from({ length: 20 }, (_, index) => 300_000 + index);
      const results = await Promise.all(sizes.map(size => client.inflate(caller, { size })));
      expect(results.map(({ filling }) => filling.length)).toEqual(sizes);
    });

    test('more of large results than may wait is told to come back, and small ones are not', async () => {
      await stage.instance('a', { largeCharactersMax: 400_000 });
      const client = stage.client();
      expect((await expectError(client.inflate(caller, { size: 500_000 }), 'internal_error', 503)).retryAfter).toBe(1);
      expect((await client.inflate(caller, { size: 100_000 })).filling).toHaveLength(100_000);
      expect((await client.inflate(caller, { size: 300_000 })).filling).toHaveLength(300_000);
      expect((await client.inflate(caller, { size: 300_000 })).filling).toHaveLength(300_000);
    });

    test('a full client refuses before it asks', async () => {
      const { state } = await stage.instance('a');
      const client = stage.client({ callsMax: 1 });
      const held = client.hold(caller, { text: 'one' });
      expect((await expectError(client.echo(caller, { text: 'x' }), 'internal_error', 503)).retryAfter).toBe(1);
      await eventually(() => state.held.has('one'));
      state.release('one');
      await held;
      expect(state.handled).toEqual([]);
    });

    test('closing a client fails what it waits for', async () => {
      const { state } = await stage.instance('a');
      const clients = stage.clients();
      const { hold } = clients.of(demosRpc);
      const call = hold(caller, { text: 'x' });
      call.catch(() => undefined);
      await eventually(() => state.held.has('x'));
      await clients.close();
      await expectError(call, 'internal_error', 503);
      state.release('x');
    });
  });

  describe(`RPC over ${name}: stopping`, () => {
    test('draining one of two instances under load loses nothing', async () => {
      const [a, b] = [await stage.instance('a'), await stage.instance('b')];
      const client = stage.client();
      const done: string[] = [];
      let stopped: Promise<void> | undefined;
      const worker = async (id: number): Promise<void> => {
        for (let turn = 0; turn < 25; turn++) {
          const text = `${id}/${turn}`;
          done.push((await client.echo(caller, { text })).text);
          if (done.length === 400) stopped = a.server.drain(5_000);
        }
      };
      await Promise.all(Array.from({ length: 40 }, (_, id) => worker(id)));
      await stopped;

      expect(done).toHaveLength(1_000);
      expect(new Set([...a.state.handled, ...b.state.handled]).size).toBe(1_000);
      expect(a.state.handled.length + b.state.handled.length).toBe(1_000);
      expect(a.state.handled.length).toBeGreaterThan(50);
    });

    test('what runs when the drain begins is finished, though the instance is no longer found', async () => {
      const a = await stage.instance('a');
      const client = stage.client();
      const call = client.hold(caller, { text: 'long' });
      await eventually(() => a.state.held.has('long'));
      const drained = a.server.drain(10_000);
      await eventually(async () => (await stage.clients().instances('budget')).length === 0);
      await expectError(client.echo(caller, { text: 'x' }), 'internal_error', 503);
      // Longer than two liveness sweeps: silence on the request channel must not pass for death.
      await new Promise(resolve => setTimeout(resolve, 700));
      a.state.release('long');
      expect(await call).toEqual({ text: 'long', instance: 'a' });
      await drained;
    });

    test('what outlasts the drain is aborted and answered with a 503', async () => {
      const a = await stage.instance('a', { drainTimeoutMs: 50 });
      const call = stage.client().hold(caller, { text: 'endless' });
      call.catch(() => undefined);
      await eventually(() => a.state.held.has('endless'));
      await a.app.close();
      await expectError(call, 'internal_error', 503);
      expect(a.state.aborted).toEqual(['endless']);
      a.state.release('endless');
    });
  });

  describe(`RPC over ${name}: hostile traffic`, () => {
    test('malformed packets are dropped, noted once, and hurt nobody', async () => {
      const a = await stage.instance('a');
      const client = stage.client();
      await client.echo(caller, { text: 'x' });
      const stranger = stage.insider();
      for (const channel of await stranger.channels(stage.namespace)) {
        for (const text of ['', 'null', '[]', '{', '{"v":1}', '{"v":2,"id":"x"}', '"text"', '{"id":{}}', '{"v":1,"id":"x","pattern":"demos.echo","replyTo":"r","timeoutMs":5,"caller":null}']) await stranger.publish(channel, Buffer.from(text));
      }
      expect(await client.echo(caller, { text: 'y' })).toEqual({ text: 'y', instance: 'a' });
      await stranger.close();
      expect(stage.logger.of('warn').filter(({ message }) => message.includes('dropped'))).toHaveLength(2);
      expect(a.state.handled).toEqual(['x', 'y']);
    });

    test('who can read and write the bus without the key learns nothing, forges nothing and redirects nothing', async () => {
      const [a, b] = [await stage.instance('a'), await stage.instance('b')];
      const stranger = connect();
      const seen: Buffer[] = [];
      const channels = await stranger.channels(`${stage.namespace}:rpc:`);
      for (const channel of channels) await stranger.subscribe(channel, message => seen.push(message));
      expect(await stage.client().echo(caller, { text: 'planted text' }, { instance: 'a' })).toMatchObject({ instance: 'a' });
      await eventually(() => seen.length === 1);
      const [captured = Buffer.alloc(0)] = seen;
      expect(captured.toString('latin1')).not.toContain('planted');

      const outsider = new EncryptedBus(stranger, { transportKey: Buffer.alloc(32), logger: stage.logger });
      const forged = Buffer.from(JSON.stringify({ v: 1, id: 'x', pattern: 'demos.echo', caller, input: { text: 'forged' }, timeoutMs: 5_000, replyTo: `${stage.namespace}:rpc-reply:x` }));
      for (const channel of channels) {
        await stranger.publish(channel, forged);
        await outsider.publish(channel, forged);
        for (let at = 0; at < captured.length; at += 7) {
          const changed = Buffer.from(captured);
          changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
          await stranger.publish(channel, changed);
        }
        // Meant for a, it is nothing to b.
        if (!channel.includes(':a:')) await stranger.publish(channel, captured);
      }
      expect(await stage.client().echo(caller, { text: 'after' }, { instance: 'b' })).toMatchObject({ instance: 'b' });
      expect([a.state.handled, b.state.handled]).toEqual([['planted text'], ['after']]);
      await stranger.close();
    });

    test('a call cannot be cancelled by someone who only knows its id', async () => {
      const { state } = await stage.instance('a');
      const stranger = stage.insider();
      const seen: Buffer[] = [];
      const [requests = ''] = await stranger.channels(`${stage.namespace}:rpc:`);
      const [control = ''] = await stranger.channels(`${stage.namespace}:rpc-control:`);
      await stranger.subscribe(requests, message => seen.push(message));
      const call = stage.client().hold(caller, { text: 'mine' });
      await eventually(() => state.held.has('mine') && seen.length === 1);
      const { id } = JSON.parse(String(seen[0])) as { id: string };
      await stranger.publish(control, Buffer.from(JSON.stringify({ v: 1, cancel: id, replyTo: 'someone else' })));
      await stranger.publish(requests, seen[0] ?? Buffer.alloc(0));
      await expect(stage.client().nothing(caller, {})).resolves.toBeUndefined();
      expect(state.aborted).toEqual([]);
      state.release('mine');
      expect(await call).toEqual({ text: 'mine', instance: 'a' });
      expect(stage.logger.of('warn').map(({ message }) => message)).toEqual(['Repeated RPC request dropped']);
      await stranger.close();
    });
  });
};
