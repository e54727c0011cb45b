import { LRUCache } from 'lru-cache';
import type { ApiKeyRow } from './keys.store.js';

/** A row as it was when the key's epoch was `epoch`; `row` null = there is no such key. */
export interface KnownKey {
  readonly row: ApiKeyRow | null;
  /** Undefined when the epoch could not be asked. */
  readonly epoch: string | undefined;
  readonly loadedAt: number;
}

export interface KeySource {
  readEpoch(secretHash: Buffer): Promise<string | undefined>;
  loadRow(secretHash: Buffer): Promise<ApiKeyRow | null>;
}

const KNOWN_MAX = 50_000;
const TRUSTED_MS = 30_000;
/** While epochs cannot be asked, a row is believed for this long. */
const TRUSTED_BLINDLY_MS = 1_000;

/** Keys this process has looked up lately. Parallel requests with one key share one look-up. */
export class KeyCache {
  private readonly known: LRUCache<string, KnownKey, Buffer>;

  constructor(
    source: KeySource,
    private readonly now: () => number = Date.now,
  ) {
    this.known = new LRUCache<string, KnownKey, Buffer>({
      max: KNOWN_MAX,
      ttl: TRUSTED_MS,
      fetchMethod: async (_name, _stale, { context: secretHash }) => {
        // The epoch first: a change in between then shows as a newer epoch, never as a newer epoch on an older row.
        const epoch = await source.readEpoch(secretHash);
        return { row: await source.loadRow(secretHash), epoch, loadedAt: this.now() };
      },
    });
  }

  async get(secretHash: Buffer): Promise<KnownKey> {
    return this.fetch(secretHash, false);
  }

  /** The key again if what is known of it is older than `epoch`; undefined = the store of epochs is away. */
  async revalidate(secretHash: Buffer, known: KnownKey, epoch: string | undefined): Promise<KnownKey> {
    const current = epoch === undefined ? this.now() - known.loadedAt < TRUSTED_BLINDLY_MS : known.epoch === epoch;
    return current ? known : this.fetch(secretHash, true);
  }

  /** Nothing known is trusted any more: epochs may have been lost. */
  clear(): void {
    this.known.clear();
  }

  private async fetch(secretHash: Buffer, forceRefresh: boolean): Promise<KnownKey> {
    const known = await this.known.fetch(secretHash.toString('base64url'), { context: secretHash, forceRefresh });
    if (known === undefined) throw new Error('a key look-up was dropped');
    return known;
  }
}
