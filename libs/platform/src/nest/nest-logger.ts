import type { LoggerService } from '@nestjs/common';
import type { Logger } from '../logger.js';

/** Nest's own lines in our log. Its start-up chatter is for debugging. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...context: unknown[]): void {
    this.logger.debug(fields(context), String(message));
  }
  debug(message: unknown, ...context: unknown[]): void {
    this.logger.debug(fields(context), String(message));
  }
  verbose(message: unknown, ...context: unknown[]): void {
    this.logger.trace(fields(context), String(message));
  }
  warn(message: unknown, ...context: unknown[]): void {
    this.logger.warn(fields(context), String(message));
  }
  error(message: unknown, ...context: unknown[]): void {
    this.logger.error({ ...fields(context), ...(message instanceof Error ? { err: message } : {}) }, String(message));
  }
  fatal(message: unknown, ...context: unknown[]): void {
    this.logger.fatal(fields(context), String(message));
  }
}

const fields = (context: readonly unknown[]): { context?: string } => {
  const last = context.at(-1);
  return typeof last === 'string' ? { context: last } : {};
};
