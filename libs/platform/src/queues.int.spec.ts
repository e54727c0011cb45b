import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { IsText, Required } from '@gatehouse/contracts';
import { eventually, expectError, testServices } from '@gatehouse/testing';
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
    expect(await queue.latest()).toBeNull();
    for (let repeat = 0; repeat < 5; repeat++) await queue.add({ name: 'a' }, { onlyOne: 'greeting' });
    expect(await queue.latest()).toMatchObject({ state: 'waiting' });
    const done: string[] = [];
    opened(openWorker(greet, async ({ name }, { progress }) => { await progress({ greeted: name }); done.push(name); }, own));
    await eventually(async () => expect(await queue.latest()).toEqual({ state: 'done', progress: { greeted: 'a' }, error: null }));
    expect(done).toEqual(['a']);
    await queue.add({ name: 'b' }, { onlyOne: 'greeting' });
    await eventually(async () => expect(await queue.latest()).toEqual({ state: 'done', progress: { greeted: 'b' }, error: null }));
    expect(done).toEqual(['a', 'b']);
  });

  test('a job that failed for good says why', async () => {
    const own = options();
    const once = jobContract('greetings.fail', Greeting, { attempts: 1 });
    opened(openWorker(once, () => Promise.reject(new Error('nobody there')), own));
    const queue = opened(openQueue(once, own));
    await queue.add({ name: 'x' });
    await eventually(async () => expect(await queue.latest()).toMatchObject({ state: 'failed', error: 'nobody there' }));
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

  test('a wrong input is refused before it is queued', async () => {
    await expectError(opened(openQueue(greet, options())).add({ name: '' }), 'validation_error');
  });
});
