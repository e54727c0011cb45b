import { Redis } from 'ioredis';
import type { Logger } from './logger.js';

export interface RedisOptions {
  readonly url: string;
  /** Shown by CLIENT LIST. */
  readonly connectionName: string;
  readonly logger: Logger;
  /** Milliseconds one command may take. */
  readonly commandTimeoutMs?: number;
}

/**
 * A connection for commands of the hot path: one that cannot be sent now fails now, because waiting behind a dead store
 * would turn its failure into everyone's hang. It reconnects by itself, for ever.
 */
export const openRedis = ({ url, connectionName, logger, commandTimeoutMs = 1_000 }: RedisOptions): Redis => {
  const redis = new Redis(url, {
    connectionName,
    commandTimeout: commandTimeoutMs,
    connectTimeout: 2_000,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    retryStrategy: attempt => Math.min(50 * 2 ** Math.min(attempt, 5), 1_000),
  });
  let away = false;
  redis.on('error', (err: Error) => {
    if (!away) logger.warn({ err, connectionName }, 'redis is away; reconnecting');
    away = true;
  });
  redis.on('ready', () => {
    if (away) logger.info({ connectionName }, 'redis is back');
    away = false;
  });
  return redis;
};

/** Resolves once commands can be sent. Rejects after `deadlineMs`. */
export const redisReady = async (redis: Redis, deadlineMs: number): Promise<void> => {
  if (redis.status === 'ready') return;
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error): void => {
      clearTimeout(timer);
      redis.off('ready', ready);
      if (error === undefined) resolve();
      else reject(error);
    };
    const ready = (): void => done();
    const timer = setTimeout(() => done(new Error(`Redis does not answer within ${deadlineMs} ms`)), deadlineMs);
    redis.on('ready', ready);
  });
};
