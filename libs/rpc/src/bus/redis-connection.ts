import { Redis } from 'ioredis';
import type { QuietLog } from '../logger.js';

export interface RedisConnectionOptions {
  readonly url: string;
  /** Shown by CLIENT LIST. */
  readonly connectionName: string;
  readonly commandTimeoutMs: number;
  readonly heartbeatMs: number;
  /** Whether a command may wait for the first connection. */
  readonly enableOfflineQueue?: boolean;
  readonly trouble: QuietLog;
}

const RETRY_MS_MAX = 1_000;

/**
 * A connection that reconnects for ever. While it is away, and for what was unanswered when it went, commands fail at once:
 * nothing waits, and nothing is sent twice, because a command whose answer got lost may have been carried out.
 */
export const openConnection = ({ url, connectionName, commandTimeoutMs, heartbeatMs, enableOfflineQueue = false, trouble }: RedisConnectionOptions): Redis => {
  const connection = new Redis(url, {
    connectionName,
    connectTimeout: 2_000,
    disconnectTimeout: 500,
    commandTimeout: commandTimeoutMs,
    enableOfflineQueue,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    retryStrategy: attempt => Math.min(50 * attempt, RETRY_MS_MAX),
  });
  // Only the message: the error carries the failed command, which for AUTH is the password.
  connection.on('error', (error: Error) => trouble.line({ reason: error.message, connectionName }, 'Redis connection failed'));

  const heartbeat = setInterval(() => {
    if (connection.status === 'ready') connection.ping().catch(() => cutConnection(connection));
  }, heartbeatMs);
  heartbeat.unref();
  connection.once('end', () => clearInterval(heartbeat));
  return connection;
};

/**
 * Ends a connection that is no good, so that a new one is made. `disconnect` would wait for the other side to agree, and
 * the other side of a half-open connection never does.
 */
export const cutConnection = (connection: Redis): void => {
  if (connection.status === 'ready') connection.stream.destroy();
};

/** For `catch`: errors of ioredis carry the command with its arguments, which must not reach a log. */
export const withoutArguments = (error: Error): never => {
  throw new Error(`Redis: ${error.message}`);
};
