import type { Logger } from '@gatehouse/platform';
import type { KeysStore } from './keys.store.js';

const FLUSH_MS = 30_000;

/** When keys were last used, written for all of them together instead of once per request. */
export class LastUsed {
  private usedAt = new Map<string, Date>();
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly keys: KeysStore,
    private readonly logger: Logger,
  ) {
    this.timer = setInterval(() => void this.flush(), FLUSH_MS);
    this.timer.unref();
  }

  mark(keyId: string, now: number): void {
    const known = this.usedAt.get(keyId);
    if (known === undefined) this.usedAt.set(keyId, new Date(now));
    else known.setTime(now);
  }

  async flush(): Promise<void> {
    if (this.usedAt.size === 0) return;
    const usedAt = this.usedAt;
    this.usedAt = new Map();
    try {
      await this.keys.touch(usedAt);
    } catch (err) {
      this.logger.warn({ err, keys: usedAt.size }, 'last use of keys was not recorded');
    }
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }
}
