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

export interface JobQueue<Input extends object> {
  /** Enqueues once per `jobId`: a repeat while the first is known changes nothing. */
  add(input: Input, options?: { jobId?: string; delayMs?: number }): Promise<void>;
  close(): Promise<void>;
}

export const openQueue = <Input extends object>(contract: JobContract<Input>, { redisUrl, logger, namespace = 'gatehouse' }: QueueOptions): JobQueue<Input> => {
  const connection = connect(redisUrl);
  const queue = new Queue(contract.queue, { connection, prefix: `${namespace}:jobs`, defaultJobOptions: { attempts: contract.attempts, backoff: { type: 'exponential', delay: 500 }, ...KEPT } });
  queue.on('error', err => logger.warn({ err, queue: contract.queue }, 'queue connection failed'));
  return {
    add: async (input, { jobId, delayMs } = {}) => {
      await queue.add(contract.queue, parseInput(contract.input, input), { ...(jobId === undefined ? {} : { jobId }), ...(delayMs === undefined ? {} : { delay: delayMs }) });
    },
    close: async () => {
      await queue.close();
      connection.disconnect();
    },
  };
};

export interface JobContext {
  readonly attempt: number;
  /** Shown to whoever watches the queue; any JSON value. */
  progress(value: object | number): Promise<void>;
}

/** Runs the jobs of a queue. A job whose process dies is taken up again by another within 30 s. */
export const openWorker = <Input extends object>(
  contract: JobContract<Input>,
  work: (input: Input, context: JobContext) => Promise<void>,
  { redisUrl, logger, namespace = 'gatehouse', concurrency = 4 }: QueueOptions & { readonly concurrency?: number },
): { close(): Promise<void> } => {
  const connection = connect(redisUrl);
  const worker = new Worker(
    contract.queue,
    async (job: Job) => work(parseInput(contract.input, job.data), { attempt: job.attemptsMade + 1, progress: async value => job.updateProgress(value) }),
    { connection, prefix: `${namespace}:jobs`, concurrency },
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
