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
  private readonly keys = new LRUCache<string, KnownKey>({ max: KNOWN_MAX, ttl: TRUSTED_MS });
  /** Apart from the others: well-formed keys that nobody has are free to make, and must not push out real ones. */
  private readonly nobodys = new LRUCache<string, KnownKey>({ max: KNOWN_MAX, ttl: TRUSTED_MS });
  private readonly loading = new Map<string, Promise<KnownKey>>();
  /** Look-ups that began before the last `clear` serve those who wait for them and nobody after. */
  private era = 0;

  constructor(
    private readonly source: KeySource,
    private readonly now: () => number = Date.now,
  ) {}

  async get(secretHash: Buffer): Promise<KnownKey> {
    const name = secretHash.toString('base64url');
    return this.known(name) ?? this.load(name, secretHash, 'any');
  }

  /** The key again if what is known of it is older than `epoch`; undefined = the store of epochs is away. */
  async revalidate(secretHash: Buffer, known: KnownKey, epoch: string | undefined): Promise<KnownKey> {
    const current = epoch === undefined ? this.now() - known.loadedAt < TRUSTED_BLINDLY_MS : known.epoch === epoch;
    if (current) return known;
    const name = secretHash.toString('base64url');
    const later = this.known(name);
    if (epoch !== undefined && later?.epoch === epoch) return later;
    // Not shared with look-ups for an older epoch: those may have read the row before it changed.
    return this.load(name, secretHash, epoch ?? 'unknown');
  }

  /** Nothing known is trusted any more: epochs may have been lost. */
  clear(): void {
    this.era++;
    this.keys.clear();
    this.nobodys.clear();
    this.loading.clear();
  }

  private known(name: string): KnownKey | undefined {
    return this.keys.get(name) ?? this.nobodys.get(name);
  }

  private load(name: string, secretHash: Buffer, because: string): Promise<KnownKey> {
    const flight = `${name} ${because}`;
    const running = this.loading.get(flight);
    if (running !== undefined) return running;
    const { era } = this;
    const loading = this.read(secretHash)
      .then(known => {
        if (this.era === era) (known.row === null ? this.nobodys : this.keys).set(name, known);
        return known;
      })
      .finally(() => this.loading.get(flight) === loading && this.loading.delete(flight));
    this.loading.set(flight, loading);
    return loading;
  }

  private async read(secretHash: Buffer): Promise<KnownKey> {
    // The epoch first: a change in between then shows as a newer epoch, never as a newer epoch on an older row.
    const epoch = await this.source.readEpoch(secretHash);
    return { row: await this.source.loadRow(secretHash), epoch, loadedAt: this.now() };
  }
}
