import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { RedisBus } from './bus/redis-bus.js';
import { demoCaller as caller } from './testing/demos.js';
import { eventually, expectError } from './testing/expectations.js';
import { RedisServer } from './testing/redis-server.js';
import { RecordingLogger, Stage } from './testing/stage.js';

describe('an outage of Redis', () => {
  let redis: RedisServer;
  let stage: Stage;
  const logger = new RecordingLogger();

  beforeEach(async () => {
    redis = await RedisServer.start();
    stage = new Stage(() => new RedisBus({ url: redis.url, logger, commandTimeoutMs: 500, heartbeatMs: 200 }));
  });
  afterEach(async () => {
    await stage.close();
    await redis.close();
  });

  const works = async (ask: () => Promise<unknown>): Promise<boolean> => {
    try {
      await ask();
      return true;
    } catch {
      // The outage is not over yet.
      return false;
    }
  };

  test('fails calls in flight and new calls at once, and heals without a restart of anyone', async () => {
    const [a, b] = [await stage.instance('a'), await stage.instance('b')];
    const client = stage.client();
    for (let outage = 0; outage < 2; outage++) {
      const texts = Array.from({ length: 20 }, (_, index) => `outage ${outage} call ${index}`);
      const inFlight = texts.map(text => expectError(client.hold(caller, { text }), 'internal_error', 503));
      await eventually(() => a.state.held.size + b.state.held.size === texts.length);

      const killed = performance.now();
      await redis.kill();
      await Promise.all(inFlight);
      for (let call = 0; call < 50; call++) await expectError(client.echo(caller, { text: 'down' }), 'internal_error', 503);
      expect(performance.now() - killed).toBeLessThan(1_000);
      for (const text of texts) for (const { state } of [a, b]) state.release(text);

      await redis.start();
      await eventually(() => works(() => client.echo(caller, { text: 'again' })));
      for (const instance of ['a', 'b']) await eventually(() => works(() => client.echo(caller, { text: 'again' }, { instance })));
    }
    expect(a.state.handled).not.toContain('down');
    expect(b.state.handled).not.toContain('down');
  });

  test('that is a silence instead of a closed connection ends calls too, and heals', async () => {
    const { state } = await stage.instance('a');
    const client = stage.client();
    const inFlight = expectError(client.hold(caller, { text: 'x' }), 'internal_error', 503);
    await eventually(() => state.held.has('x'));
    redis.signal('SIGSTOP');
    const stopped = performance.now();
    await expectError(client.echo(caller, { text: 'silence' }), 'internal_error', 503);
    await inFlight;
    expect(performance.now() - stopped).toBeLessThan(3_000);
    state.release('x');
    redis.signal('SIGCONT');
    await eventually(() => works(() => client.echo(caller, { text: 'again' })));
  });

  test('at the start of a process is no reason to end: it serves and asks as soon as Redis is there', async () => {
    await redis.kill();
    const client = stage.client();
    await expectError(client.echo(caller, { text: 'x' }), 'internal_error', 503);
    const starting = stage.instance('a');
    await expectError(client.echo(caller, { text: 'x' }), 'internal_error', 503);
    await redis.start();
    await starting;
    await eventually(() => works(() => client.echo(caller, { text: 'x' })));
  });

  test('a first call right after the start waits for the connections instead of failing', async () => {
    await stage.instance('a');
    for (let process = 0; process < 5; process++) expect(await stage.client().echo(caller, { text: 'first' })).toEqual({ text: 'first', instance: 'a' });
  });

  test('is logged a little, and never with what was sent', async () => {
    await stage.instance('a');
    const client = stage.client();
    await redis.kill();
    for (let call = 0; call < 100; call++) await expectError(client.echo(caller, { text: 'planted text' }), 'internal_error', 503);
    const lines = [...logger.lines, ...stage.logger.lines].map(line => JSON.stringify(line));
    expect(lines.filter(line => line.includes('Redis connection failed')).length).toBeGreaterThan(0);
    expect(lines.length).toBeLessThan(40);
    expect(lines.join('\n')).not.toContain('planted');
  });
});
