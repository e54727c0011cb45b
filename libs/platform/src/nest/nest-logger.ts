import type { LoggerService } from '@nestjs/common';
import { type Logger, withoutPasswords } from '../logger.js';

/** Nest's own lines in our log. Its start-up chatter is for debugging. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...context: unknown[]): void {
    this.logger.debug(fields(context), withoutPasswords(String(message)));
  }
  debug(message: unknown, ...context: unknown[]): void {
    this.logger.debug(fields(context), withoutPasswords(String(message)));
  }
  verbose(message: unknown, ...context: unknown[]): void {
    this.logger.trace(fields(context), withoutPasswords(String(message)));
  }
  warn(message: unknown, ...context: unknown[]): void {
    this.logger.warn(fields(context), withoutPasswords(String(message)));
  }
  error(message: unknown, ...context: unknown[]): void {
    this.logger.error({ ...fields(context), ...(message instanceof Error ? { err: message } : {}) }, withoutPasswords(String(message)));
  }
  fatal(message: unknown, ...context: unknown[]): void {
    this.logger.fatal(fields(context), withoutPasswords(String(message)));
  }
}

const fields = (context: readonly unknown[]): { context?: string } => {
  const last = context.at(-1);
  return typeof last === 'string' ? { context: last } : {};
};
