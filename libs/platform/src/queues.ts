import { type Job, Queue, WaitingError, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { type InputClass, parseInput, uuidV7 } from '@gatehouse/contracts';
import type { Logger } from './logger.js';

/** Work that must survive a crash: one queue per kind of job, named `<resource>.<verb>`. */
export interface JobContract<Input extends object> {
  readonly queue: string;
  readonly input: InputClass<Input>;
  /** Attempts altogether, with exponential backoff between them. */
  readonly attempts: number;
}

export const jobContract = <Input extends object>(queue: string, input: InputClass<Input>, { attempts = 5 } = {}): JobContract<Input> => ({ queue, input, attempts });

export interface QueueOptions {
  readonly redisUrl: string;
  readonly logger: Logger;
  readonly namespace?: string;
}

/** Finished jobs are kept for a look back, within bounds. */
const KEPT = { removeOnComplete: { count: 1_000, age: 24 * 3_600 }, removeOnFail: { count: 5_000, age: 7 * 24 * 3_600 } };

/** Closing takes no longer: jobs that do not end by then are taken up by another worker when their lease ends. */
const CLOSE_MS = 5_000;

interface Connection {
  readonly redis: Redis;
  /** Once lost it is not sought again: what waits for Redis fails, and does not keep a process from ending. */
  leave(): void;
}

const connect = (url: string): Connection => {
  let left = false;
  const redis = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: attempt => (left ? null : Math.min(50 * 2 ** Math.min(attempt, 5), 1_000)) });
  return { redis, leave: () => void (left = true) };
};

interface Client {
  readonly status: string;
  once(event: 'ready' | 'end', listener: () => void): unknown;
}

/** Whether it has Redis, once that is certain. To disconnect before that leaves what waits for Redis waiting for ever. */
const isReady = async (client: Client): Promise<boolean> => {
  if (client.status !== 'ready' && client.status !== 'end') {
    await new Promise<void>(resolve => {
      client.once('ready', () => resolve());
      client.once('end', () => resolve());
    });
  }
  return client.status === 'ready';
};

const withinCloseMs = async (closing: Promise<void>): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>(resolve => (timer = setTimeout(resolve, CLOSE_MS).unref()));
  await Promise.race([closing, late]).finally(() => clearTimeout(timer));
};

export interface AddJobOptions {
  /** A repeat while a job of this id is known changes nothing, also after it is done. */
  readonly jobId?: string;
  /** A repeat while a job of this name waits or runs changes nothing. */
  readonly onlyOne?: string;
  readonly delayMs?: number;
}

export interface JobState {
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  /** What the job told last; it is whatever its worker gave. */
  readonly progress: unknown;
  /** Why it failed, or failed last while it waits for another attempt. */
  readonly error: string | null;
}

export interface JobQueue<Input extends object> {
  /** @returns the job's id; where the options make it a repeat, the id of the job that is there */
  add(input: Input, options?: AddJobOptions): Promise<string>;
  /** Null when no such job is known, or none any more. */
  stateOf(id: string): Promise<JobState | null>;
  /** Takes five seconds at most, also while Redis is away; what still waits for Redis then fails. */
  close(): Promise<void>;
}

export const openQueue = <Input extends object>(contract: JobContract<Input>, { redisUrl, logger, namespace = 'gatehouse' }: QueueOptions): JobQueue<Input> => {
  const { redis, leave } = connect(redisUrl);
  const queue = new Queue(contract.queue, { connection: redis, prefix: `${namespace}:jobs`, defaultJobOptions: { attempts: contract.attempts, backoff: { type: 'exponential', delay: 500 }, ...KEPT } });
  queue.on('error', err => logger.warn({ err, queue: contract.queue }, 'queue connection failed'));
  return {
    add: async (input, { jobId = uuidV7(), onlyOne, delayMs } = {}) => {
      const job = await queue.add(contract.queue, parseInput(contract.input, input), {
        jobId,
        ...(onlyOne !== undefined && { deduplication: { id: onlyOne } }),
        ...(delayMs !== undefined && { delay: delayMs }),
      });
      return job.id ?? jobId;
    },
    stateOf: async id => {
      // In this order: what a job told is never older than its state.
      const state = await queue.getJobState(id);
      const job = await queue.getJob(id);
      if (state === 'unknown' || job === undefined) return null;
      return { state: STATES[state] ?? 'waiting', progress: job.progress, error: job.failedReason ?? null };
    },
    close: async () => {
      leave();
      await withinCloseMs(isReady(redis).then(() => queue.close()));
      redis.disconnect();
    },
  };
};

const STATES: Readonly<Record<string, JobState['state']>> = { active: 'running', completed: 'done', failed: 'failed' };

export interface JobContext {
  readonly attempt: number;
  /** Aborted when the worker is closing. A job that fails from then on goes back to the queue, and no attempt is used up. */
  readonly signal: AbortSignal;
  /** Shown to whoever watches the queue; any JSON value. Waits while Redis is away, and rejects once {@link signal} is aborted. */
  progress(value: object | number): Promise<void>;
}

export interface JobWorker {
  /** Takes five seconds at most, also while Redis is away. Jobs are told by their signal, and given that long to end. */
  close(): Promise<void>;
}

/** Runs the jobs of a queue. A job whose process dies is taken up again by another, or by the next, within twice `leaseMs`. */
export const openWorker = <Input extends object>(
  contract: JobContract<Input>,
  work: (input: Input, context: JobContext) => Promise<void>,
  { redisUrl, logger, namespace = 'gatehouse', concurrency = 4, leaseMs = 15_000 }: QueueOptions & { readonly concurrency?: number; readonly leaseMs?: number },
): JobWorker => {
  const { queue } = contract;
  const { redis, leave } = connect(redisUrl);
  const closing = new AbortController();
  const contextOf = (job: Job): JobContext => ({
    attempt: job.attemptsMade + 1,
    signal: closing.signal,
    progress: value => unlessAborted(job.updateProgress(value), closing.signal),
  });
  const running = new Set<Promise<void>>();
  const run = async (job: Job): Promise<void> => {
    try {
      // What is handed back may be fetched once more by the call that is under way.
      closing.signal.throwIfAborted();
      const ended = work(parseInput(contract.input, job.data), contextOf(job));
      running.add(ended);
      await ended.finally(() => running.delete(ended));
    } catch (err) {
      if (!closing.signal.aborted) throw err;
      // Where Redis does not hear of it, the lease ends.
      await job.moveToWait(job.token).catch((cause: unknown) => logger.warn({ err: cause, queue, jobId: job.id }, 'job could not be handed back'));
      logger.info({ queue, jobId: job.id }, 'job goes on elsewhere: its worker is closing');
      throw new WaitingError();
    }
  };
  // A process that dies under a job is no fault of the job.
  const worker = new Worker(queue, run, { connection: redis, prefix: `${namespace}:jobs`, concurrency, lockDuration: leaseMs, stalledInterval: leaseMs, maxStalledCount: 100 });
  worker.on('error', err => logger.warn({ err, queue }, 'worker connection failed'));
  worker.on('failed', (job, err) => logger.error({ err, queue, jobId: job?.id, attempt: job?.attemptsMade }, 'job failed'));

  const closeInOrder = async (): Promise<void> => {
    await worker.pause(true);
    const blocking = await worker.backend.blockingClient?.catch(() => undefined);
    const ready = await Promise.all([isReady(redis), blocking !== undefined && isReady(blocking)]);
    if (ready.every(Boolean)) return worker.close();
    // Nothing can be told to Redis: only the work itself is waited for.
    await Promise.allSettled(running);
    await worker.close(true);
  };
  return {
    close: async () => {
      leave();
      closing.abort(new Error('the worker is closing'));
      await withinCloseMs(closeInOrder());
      redis.disconnect();
      // Changes nothing unless that took too long.
      void worker.close(true);
    },
  };
};

/** What was begun goes on; nobody waits for it any more. */
const unlessAborted = async (begun: Promise<void>, signal: AbortSignal): Promise<void> => {
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => (abort = () => reject(signal.reason)));
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  await Promise.race([begun, aborted]).finally(() => signal.removeEventListener('abort', abort));
};
