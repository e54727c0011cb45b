import { destination as openDestination, type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger } from 'pino';

/** Names of fields that are never written, wherever they turn up. Values in free text are the writer's own care. */
const SECRET_FIELDS = ['authorization', 'cookie', 'secret', 'token', 'accessToken', 'refreshToken', 'clientSecret', 'password', 'apiKey', 'key', 'envs', 'auth', 'privateKey', 'transportKey', 'databaseUrl', 'redisUrl'];

export interface LoggerOptions {
  readonly service: string;
  readonly instance: string;
  readonly level: string;
  readonly destination?: DestinationStream;
}

/** Structured lines for machines: JSON, one per event, with the names of service and instance. */
export const createLogger = ({ service, instance, level, destination }: LoggerOptions): Logger =>
  pino(
    {
      level,
      base: { service, instance },
      timestamp: stdTimeFunctions.epochTime,
      redact: { paths: SECRET_FIELDS.flatMap(field => [field, `*.${field}`, `*.*.${field}`]), censor: '[redacted]' },
      serializers: { err: describeError },
    },
    // Synchronous: what is logged last is the most important, and a destination that flushes at exit never lets a process end
    // whose reader is gone.
    destination ?? openDestination({ dest: 1, sync: true }),
  );

/** Of an error only what helps to find it. Drivers hang whole requests and connection strings on theirs. */
const describeError = (error: unknown, depth = 0): unknown => {
  if (!(error instanceof Error)) return error;
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    type: error.name,
    message: withoutPasswords(error.message),
    ...(code === undefined ? {} : { code }),
    stack: depth === 0 ? withoutPasswords(error.stack ?? '') : undefined,
    ...(error.cause === undefined || depth >= 3 ? {} : { cause: describeError(error.cause, depth + 1) }),
  };
};

/** Up to the last @ before white space: a password may hold any character of a URL that somebody did not escape. */
export const withoutPasswords = (text: string): string => text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s@]*:[^\s]*@/gi, '$1[redacted]@').replace(/\bgate_(sk|ct)_[0-9A-Za-z._-]+/g, 'gate_$1_[redacted]');
