import { type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { type InputClass, parseInput } from '@gatehouse/contracts';
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

const connect = (url: string): Redis => new Redis(url, { maxRetriesPerRequest: null, retryStrategy: attempt => Math.min(50 * 2 ** Math.min(attempt, 5), 1_000) });

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
  add(input: Input, options?: AddJobOptions): Promise<void>;
  /** The job that runs, else one that waits, else the last that ended; null when there was none. */
  latest(): Promise<JobState | null>;
  close(): Promise<void>;
}

export const openQueue = <Input extends object>(contract: JobContract<Input>, { redisUrl, logger, namespace = 'gatehouse' }: QueueOptions): JobQueue<Input> => {
  const connection = connect(redisUrl);
  const queue = new Queue(contract.queue, { connection, prefix: `${namespace}:jobs`, defaultJobOptions: { attempts: contract.attempts, backoff: { type: 'exponential', delay: 500 }, ...KEPT } });
  queue.on('error', err => logger.warn({ err, queue: contract.queue }, 'queue connection failed'));
  return {
    add: async (input, { jobId, onlyOne, delayMs } = {}) => {
      await queue.add(contract.queue, parseInput(contract.input, input), {
        ...(jobId !== undefined && { jobId }),
        ...(onlyOne !== undefined && { deduplication: { id: onlyOne } }),
        ...(delayMs !== undefined && { delay: delayMs }),
      });
    },
    latest: async () => {
      const [running] = await queue.getJobs(['active'], 0, 0);
      if (running !== undefined) return stateOf(running, 'running');
      const [waiting] = await queue.getJobs(['waiting', 'delayed', 'prioritized'], 0, 0);
      if (waiting !== undefined) return stateOf(waiting, 'waiting');
      const [done, failed] = await Promise.all([queue.getJobs(['completed'], 0, 0), queue.getJobs(['failed'], 0, 0)]);
      const [last] = [...done, ...failed].sort((a, b) => (b.finishedOn ?? 0) - (a.finishedOn ?? 0));
      return last === undefined ? null : stateOf(last, done.includes(last) ? 'done' : 'failed');
    },
    close: async () => {
      await queue.close();
      connection.disconnect();
    },
  };
};

const stateOf = (job: Job, state: JobState['state']): JobState => ({ state, progress: job.progress, error: job.failedReason ?? null });

export interface JobContext {
  readonly attempt: number;
  /** Shown to whoever watches the queue; any JSON value. */
  progress(value: object | number): Promise<void>;
}

/** Runs the jobs of a queue. A job whose process dies is taken up again by another, or by the next, within twice `leaseMs`. */
export const openWorker = <Input extends object>(
  contract: JobContract<Input>,
  work: (input: Input, context: JobContext) => Promise<void>,
  { redisUrl, logger, namespace = 'gatehouse', concurrency = 4, leaseMs = 15_000 }: QueueOptions & { readonly concurrency?: number; readonly leaseMs?: number },
): { close(): Promise<void> } => {
  const connection = connect(redisUrl);
  const worker = new Worker(
    contract.queue,
    async (job: Job) => work(parseInput(contract.input, job.data), { attempt: job.attemptsMade + 1, progress: async value => job.updateProgress(value) }),
    // A process that dies under a job is no fault of the job.
    { connection, prefix: `${namespace}:jobs`, concurrency, lockDuration: leaseMs, stalledInterval: leaseMs, maxStalledCount: 100 },
  );
  worker.on('error', err => logger.warn({ err, queue: contract.queue }, 'worker connection failed'));
  worker.on('failed', (job, err) => logger.error({ err, queue: contract.queue, jobId: job?.id, attempt: job?.attemptsMade }, 'job failed'));
  return {
    close: async () => {
      await worker.close();
      connection.disconnect();
    },
  };
};
