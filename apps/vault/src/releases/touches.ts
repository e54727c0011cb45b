import type { Logger } from '@gatehouse/platform';
import { Inject, Injectable } from '@nestjs/common';
import { LOGGER } from '../tokens.js';
import { type ReleasableRow, ReleaseStore, type Touch } from './release.store.js';

/** At most one write in this time, however many requests there are. */
const EVERY_MS = 1_000;
/** Credentials remembered while the database is away; beyond, the oldest are forgotten: they are not worth a failure. */
const REMEMBERED_MAX = 20_000;

interface Note {
  readonly resolvedAt: number | null;
  readonly outcome: { readonly secretVersion: number; readonly error: string | null; readonly at: number } | null;
}

const NOTHING: Note = { resolvedAt: null, outcome: null };

type Secret = Pick<ReleasableRow, 'id' | 'secretVersion'>;

/** Notes when credentials were used and what servers said, and writes it down now and then instead of at each request. */
@Injectable()
export class Touches {
  /** By credential, the latest note last. */
  private readonly noted = new Map<string, Note>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private lastWrite = -Infinity;
  private closed = false;

  constructor(
    private readonly store: ReleaseStore,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @param clears whether an error from before is over */
  resolved({ id, secretVersion }: Secret, { clears }: { readonly clears: boolean }): void {
    const at = performance.now();
    this.note(id, { resolvedAt: at, ...(clears && { outcome: { secretVersion, error: null, at } }) });
  }

  failed({ id, secretVersion }: Secret, error: string): void {
    this.note(id, { outcome: { secretVersion, error, at: performance.now() } });
  }

  /** Writes down what is left, once. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.writing;
    await this.write();
  }

  private note(id: string, news: Partial<Note>): void {
    const note = { ...(this.noted.get(id) ?? NOTHING), ...news };
    this.noted.delete(id);
    this.noted.set(id, note);
    const [oldest] = this.noted.keys();
    if (this.noted.size > REMEMBERED_MAX && oldest !== undefined) this.noted.delete(oldest);
    this.schedule();
  }

  private schedule(): void {
    if (this.closed || this.timer !== undefined) return;
    this.timer = setTimeout(
      () => {
        this.writing = this.write().finally(() => {
          this.timer = undefined;
          if (this.noted.size > 0) this.schedule();
        });
      },
      Math.max(0, this.lastWrite + EVERY_MS - performance.now()),
    );
  }

  private async write(): Promise<void> {
    const now = performance.now();
    this.lastWrite = now;
    const notes = [...this.noted];
    if (notes.length === 0) return;
    const touches = notes.map(([id, { resolvedAt, outcome }]): Touch => ({ id, resolvedMsAgo: resolvedAt === null ? null : now - resolvedAt, outcome: outcome && { secretVersion: outcome.secretVersion, error: outcome.error, msAgo: now - outcome.at } }));
    try {
      const written = await this.store.touch(touches);
      for (const [id, note] of notes) if (written.has(id) && this.noted.get(id) === note) this.noted.delete(id);
    } catch (err) {
      this.logger.warn({ err, credentials: touches.length }, 'the last use of credentials was not written down; tried again');
    }
  }
}
