import { unavailable } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import type { Logger } from '@gatehouse/platform';
import { type AuditEvent, recordAll } from './audit-event.js';

/** More than this waits only when the database has stopped answering. */
const WAITING_MAX = 10_000;
const BATCH_MAX = 500;
const PRUNE_EVERY_MS = 3_600_000;
const PRUNE_BATCH = 5_000;

interface Waiting {
  readonly event: AuditEvent;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * The durable record of what happened to secrets. Whoever writes waits until the event is committed, so that nothing is
 * released that no row tells of. Events that come while a write is under way share the next one: under load many releases
 * cost one statement, alone one costs its own.
 */
export class AuditLog {
  private waiting: Waiting[] = [];
  private writing: Promise<void> | undefined;
  private pruning: NodeJS.Timeout | undefined;

  constructor(
    private readonly database: Database,
    private readonly logger: Logger,
  ) {}

  /** Also forgets events that are older than `days`, now and every hour. */
  static open(database: Database, logger: Logger, { days }: { readonly days: number }): AuditLog {
    const log = new AuditLog(database, logger);
    log.keepForDays(days);
    return log;
  }

  /** @throws GatehouseError `internal_error` 503 when it could not be written: then nothing may be released */
  write(event: AuditEvent): Promise<void> {
    if (this.waiting.length >= WAITING_MAX) throw unavailable(new Error('too many audit events wait for the database'));
    return new Promise((done, failed) => {
      this.waiting.push({ event, done, failed });
      this.writing ??= this.writeAll();
    });
  }

  /** Several processes may do it at once. */
  private keepForDays(days: number): void {
    const prune = (): void => void this.prune(days).catch((err: unknown) => this.logger.warn({ err }, 'old audit events were not deleted; tried again in an hour'));
    this.pruning = setInterval(prune, PRUNE_EVERY_MS).unref();
    prune();
  }

  /** Resolves when all is written that was given. */
  async close(): Promise<void> {
    clearInterval(this.pruning);
    await this.writing;
  }

  private async writeAll(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, BATCH_MAX);
      try {
        await this.database.$executeRaw(recordAll(batch.map(({ event }) => event)));
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
    this.writing = undefined; // in the same tick as the last look: nobody can come between
  }

  private async prune(days: number): Promise<void> {
    let deleted: number;
    do {
      deleted = await this.database.$executeRaw`
        DELETE FROM vault.audit_events WHERE id IN (
          SELECT id FROM vault.audit_events WHERE at < now() - make_interval(days => ${days}::int) ORDER BY at LIMIT ${PRUNE_BATCH} FOR UPDATE SKIP LOCKED)`;
    } while (deleted === PRUNE_BATCH);
  }
}
