import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { IsText, Required } from '@gatehouse/contracts';
import { Redis } from 'ioredis';
import { createRedisProcess, eventually, expectError, type RedisProcess, testServices } from '@gatehouse/testing';
import { createLogger } from './logger.js';
import { jobContract, openQueue, openWorker } from './queues.js';

class Greeting {
  @Required()
  @IsText({ min: 1, max: 10 })
  name!: string;
}
const greet = jobContract('greetings.send', Greeting, { attempts: 3 });
const closing: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const open of closing.splice(0)) await open.close();
});
const options = () => ({ redisUrl: testServices().redisUrl, logger: createLogger({ service: 's', instance: 'i', level: 'silent' }), namespace: `test-${randomUUID()}` });
const opened = <T extends { close(): Promise<void> }>(thing: T): T => {
  closing.push(thing);
  return thing;
};

const deferred = <T>(): { promise: Promise<T>; resolve(value: T): void } => {
  let resolve = (_value: T): void => undefined;
  const promise = new Promise<T>(settle => (resolve = settle));
  return { promise, resolve };
};

describe('job queues', () => {
  test('each job is done once, by one of two workers, and once per job id', async () => {
    const own = options();
    const done: string[] = [];
    for (let worker = 0; worker < 2; worker++) opened(openWorker(greet, async ({ name }) => void done.push(name), own));
    const queue = opened(openQueue(greet, own));
    await Promise.all(Array.from({ length: 100 }, async (_unused, index) => queue.add({ name: `n${index}` })));
    for (let repeat = 0; repeat < 3; repeat++) await queue.add({ name: 'once' }, { jobId: 'same' });
    await eventually(() => expect(done).toHaveLength(101));
    expect(new Set(done).size).toBe(101);
  });

  test('only one job of a name waits or runs; the next may come after it', async () => {
    const own = options();
    const queue = opened(openQueue(greet, own));
    expect(await queue.stateOf('none')).toBeNull();
    const first = await queue.add({ name: 'a' }, { onlyOne: 'greeting' });
    for (let repeat = 0; repeat < 4; repeat++) expect(await queue.add({ name: 'b' }, { onlyOne: 'greeting' })).toBe(first);
    expect(await queue.stateOf(first)).toMatchObject({ state: 'waiting' });
    const done: string[] = [];
    opened(openWorker(greet, async ({ name }, { progress }) => { await progress({ greeted: name }); done.push(name); }, own));
    await eventually(async () => expect(await queue.stateOf(first)).toEqual({ state: 'done', progress: { greeted: 'a' }, error: null }));
    expect(done).toEqual(['a']);
    const second = await queue.add({ name: 'b' }, { onlyOne: 'greeting' });
    expect(second).not.toBe(first);
    await eventually(async () => expect(await queue.stateOf(second)).toEqual({ state: 'done', progress: { greeted: 'b' }, error: null }));
    expect(done).toEqual(['a', 'b']);
  });

  test('the state of a job is its own, also while it is being taken up', async () => {
    const own = options();
    opened(openWorker(greet, async ({ name }, { progress }) => progress({ greeted: name }), own));
    const queue = opened(openQueue(greet, own));
    for (let index = 0; index < 200; index++) {
      const name = `n${index}`;
      const state = await queue.stateOf(await queue.add({ name }));
      expect(state).not.toBeNull();
      if (state?.state === 'done') expect(state.progress).toEqual({ greeted: name });
    }
  });

  test('a job that failed for good says why', async () => {
    const own = options();
    const once = jobContract('greetings.fail', Greeting, { attempts: 1 });
    opened(openWorker(once, () => Promise.reject(new Error('nobody there')), own));
    const queue = opened(openQueue(once, own));
    const id = await queue.add({ name: 'x' });
    await eventually(async () => expect(await queue.stateOf(id)).toMatchObject({ state: 'failed', error: 'nobody there' }));
  });

  test('a failing job is tried again', async () => {
    const own = options();
    const attempts: number[] = [];
    opened(
      openWorker(
        greet,
        async (_input, { attempt }) => {
          attempts.push(attempt);
          if (attempt < 3) throw new Error('not yet');
        },
        own,
      ),
    );
    await opened(openQueue(greet, own)).add({ name: 'x' });
    await eventually(() => expect(attempts).toEqual([1, 2, 3]));
  });

  test('a job whose worker is closed goes back to the queue, however often, and keeps its attempts', async () => {
    const lines: string[] = [];
    const own = { ...options(), logger: createLogger({ service: 's', instance: 'i', level: 'info', destination: { write: line => void lines.push(line) } }) };
    const queue = opened(openQueue(greet, own));
    const id = await queue.add({ name: 'x' });
    const attempts: number[] = [];
    for (let restart = 0; restart < 6; restart++) {
      const taken = deferred<void>();
      const worker = openWorker(greet, (_input, { attempt, signal }) => {
        attempts.push(attempt);
        taken.resolve();
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      }, own);
      await taken.promise;
      await worker.close();
      expect(await queue.stateOf(id)).toMatchObject({ state: 'waiting', error: null });
    }
    opened(openWorker(greet, async (_input, { attempt }) => void attempts.push(attempt), own));
    await eventually(async () => expect(await queue.stateOf(id)).toMatchObject({ state: 'done' }));
    expect(attempts).toEqual([1, 1, 1, 1, 1, 1, 1]);
    expect(lines.filter(line => /"level":[45]0/.test(line))).toEqual([]);
  });

  test('a wrong input is refused before it is queued', async () => {
    await expectError(opened(openQueue(greet, options())).add({ name: '' }), 'validation_error');
  });
});

describe('while Redis is away', () => {
  const lost = async (): Promise<{ own: ReturnType<typeof options>; redis: RedisProcess }> => {
    const redis = await createRedisProcess();
    await redis.start();
    opened({ close: () => redis.kill() });
    return { own: { ...options(), redisUrl: redis.url }, redis };
  };
  /** It is not the bound that ends it. */
  const CLOSED_MS = 4_000;
  const closedIn = async (...open: { close(): Promise<void> }[]): Promise<number> => {
    const begun = performance.now();
    await Promise.all(open.map(each => each.close()));
    return performance.now() - begun;
  };

  test('an idle worker and its queue are closed in time', async () => {
    const { own, redis } = await lost();
    const done: string[] = [];
    const [worker, queue] = [openWorker(greet, async ({ name }) => void done.push(name), own), openQueue(greet, own)];
    await queue.add({ name: 'x' });
    await eventually(() => expect(done).toEqual(['x']));
    await redis.kill();
    const never = queue.add({ name: 'y' }).then(() => 'added', () => 'refused');
    expect(await closedIn(worker, queue)).toBeLessThan(CLOSED_MS);
    expect(await never).toBe('refused');
  }, 20_000);

  test('a worker and a queue that never found it are closed in time', async () => {
    const own = { ...options(), redisUrl: (await createRedisProcess()).url };
    expect(await closedIn(openWorker(greet, () => Promise.resolve(), own), openQueue(greet, own))).toBeLessThan(CLOSED_MS);
  }, 20_000);

  test('a job that tells its progress is given up with its worker', async () => {
    const { own, redis } = await lost();
    const taken = deferred<void>();
    const away = deferred<void>();
    const told = deferred<unknown>();
    const worker = openWorker(greet, async (_input, { progress }) => {
      taken.resolve();
      await away.promise;
      await progress({ half: true }).catch(async (error: unknown) => {
        told.resolve(error);
        throw error;
      });
    }, own);
    await opened(openQueue(greet, own)).add({ name: 'x' });
    await taken.promise;
    await redis.kill();
    away.resolve();
    expect(await closedIn(worker)).toBeLessThan(CLOSED_MS);
    expect(await told.promise).toEqual(new Error('the worker is closing'));
  }, 20_000);

  test('a closed worker does not come back with it', async () => {
    const { own, redis } = await lost();
    const worker = openWorker(greet, () => Promise.resolve(), own);
    const watching = new Redis(own.redisUrl, { retryStrategy: () => 20 });
    opened({ close: () => Promise.resolve(watching.disconnect()) });
    watching.on('error', () => undefined);
    const others = async (): Promise<number> => String(await watching.client('LIST')).trim().split('\n').length - 1;
    await eventually(async () => expect(await others()).toBe(2));
    await redis.kill();
    await worker.close();
    await redis.start();
    await eventually(async () => expect(await watching.ping()).toBe('PONG'));
    expect(await others()).toBe(0);
  }, 20_000);
});

test('a job that does not heed its signal does not keep its worker from closing', async () => {
  const own = options();
  const [taken, end] = [deferred<void>(), deferred<void>()];
  const worker = openWorker(greet, async () => {
    taken.resolve();
    await end.promise;
  }, own);
  await opened(openQueue(greet, own)).add({ name: 'x' });
  await taken.promise;
  await worker.close();
  end.resolve();
}, 20_000);
