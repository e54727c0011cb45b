import type { Logger } from '@gatehouse/platform';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { LOGGER } from '../tokens.js';
import { ReleaseStore, type Touch } from './release.store.js';

/** At most one write in this time, however many requests there are. */
const EVERY_MS = 1_000;
/** Credentials remembered while the database is away; beyond, the oldest are forgotten: they are not worth a failure. */
const REMEMBERED_MAX = 20_000;

/** Notes when credentials were used and what servers said, and writes it down now and then instead of at each request. */
@Injectable()
export class Touches implements OnModuleDestroy {
  private readonly noted = new Map<string, Touch>();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private lastWrite = -Infinity;

  constructor(
    private readonly store: ReleaseStore,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @param clears whether errors from before are over */
  resolved(id: string, { clears }: { readonly clears: boolean }): void {
    const now = new Date();
    const { error, errorAt, clearedAt } = this.noted.get(id) ?? NOTHING;
    this.note(clears ? { id, resolvedAt: now, clearedAt: now, error: null, errorAt: null } : { id, resolvedAt: now, clearedAt, error, errorAt });
  }

  failed(id: string, error: string): void {
    this.note({ ...(this.noted.get(id) ?? NOTHING), id, error, errorAt: new Date() });
  }

  async onModuleDestroy(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.writing;
    await this.write();
  }

  private note(touch: Touch): void {
    this.noted.delete(touch.id); // the latest last
    this.noted.set(touch.id, touch);
    const [oldest] = this.noted.keys();
    if (this.noted.size > REMEMBERED_MAX && oldest !== undefined) this.noted.delete(oldest);
    this.schedule();
  }

  private schedule(): void {
    this.timer ??= setTimeout(
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
    this.lastWrite = performance.now();
    const touches = [...this.noted.values()];
    if (touches.length === 0) return;
    try {
      const written = await this.store.touch(touches);
      for (const touch of touches) if (written.has(touch.id) && this.noted.get(touch.id) === touch) this.noted.delete(touch.id);
    } catch (err) {
      this.logger.warn({ err, credentials: touches.length }, 'the last use of credentials was not written down; tried again');
    }
  }
}

const NOTHING: Omit<Touch, 'id'> = { resolvedAt: null, clearedAt: null, error: null, errorAt: null };
