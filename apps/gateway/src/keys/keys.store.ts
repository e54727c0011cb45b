import { type Database, Prisma } from '@gatehouse/database';

/** Limits of one key that replace the installation's. */
export interface RateLimitOverride {
  readonly limit: number;
  readonly windowSeconds: number;
  readonly burst: number;
}
export type RateLimitOverrides = Partial<Record<'default' | 'create', RateLimitOverride>>;

export interface Team {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

/** A key's row with its team, never with its hash. */
export interface ApiKeyRow {
  readonly id: string;
  readonly teamId: string;
  readonly name: string;
  readonly prefix: string;
  readonly last4: string;
  readonly scopes: readonly string[];
  readonly userId: string | null;
  readonly rateLimits: RateLimitOverrides | null;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
  readonly team: Team;
}

export interface NewApiKey {
  readonly id: string;
  readonly teamId: string;
  readonly name: string;
  readonly secretHash: Buffer;
  readonly prefix: string;
  readonly last4: string;
  readonly scopes: readonly string[];
  readonly userId: string | null;
  readonly rateLimits: RateLimitOverrides | null;
  readonly expiresAt: Date | null;
}

const COLUMNS = {
  id: true,
  teamId: true,
  name: true,
  prefix: true,
  last4: true,
  scopes: true,
  userId: true,
  rateLimits: true,
  createdAt: true,
  expiresAt: true,
  lastUsedAt: true,
  revokedAt: true,
  team: true,
} as const;

type Selected = Omit<ApiKeyRow, 'rateLimits'> & { readonly rateLimits: Prisma.JsonValue };

// Only this store writes the column, so what is read has the shape that was written.
const rowOf = (selected: Selected): ApiKeyRow => ({ ...selected, rateLimits: selected.rateLimits as unknown as RateLimitOverrides | null });

export class KeysStore {
  constructor(private readonly database: Database) {}

  /** Null when no key has this hash. Revoked and expired keys are found: what they mean is the caller's matter. */
  async findByHash(secretHash: Buffer): Promise<ApiKeyRow | null> {
    const selected = await this.database.apiKey.findUnique({ where: { secretHash: Uint8Array.from(secretHash) }, select: COLUMNS });
    return selected === null ? null : rowOf(selected);
  }

  async list(teamName?: string): Promise<ApiKeyRow[]> {
    const selected = await this.database.apiKey.findMany({ where: teamName === undefined ? {} : { team: { name: teamName } }, select: COLUMNS, orderBy: [{ createdAt: 'desc' }, { id: 'desc' }], take: 1000 });
    return selected.map(rowOf);
  }

  async create(key: NewApiKey): Promise<ApiKeyRow> {
    const { rateLimits, secretHash, scopes, ...columns } = key;
    const data = { ...columns, secretHash: Uint8Array.from(secretHash), scopes: [...scopes], rateLimits: rateLimits === null ? Prisma.DbNull : (rateLimits as Prisma.InputJsonObject) };
    return rowOf(await this.database.apiKey.create({ data, select: COLUMNS }));
  }

  /** Idempotent. Null when there is no such key; otherwise its hash, which names its epoch. */
  async revoke(id: string, now: Date): Promise<{ secretHash: Buffer } | null> {
    await this.database.apiKey.updateMany({ where: { id, revokedAt: null }, data: { revokedAt: now } });
    const row = await this.database.apiKey.findUnique({ where: { id }, select: { secretHash: true } });
    return row === null ? null : { secretHash: Buffer.from(row.secretHash) };
  }

  /** One statement for any number of keys; a later time already there stays. */
  async touch(usedAt: ReadonlyMap<string, Date>): Promise<void> {
    const ids = [...usedAt.keys()];
    const times = [...usedAt.values()];
    await this.database.$executeRaw`
      UPDATE gateway.api_keys AS keys SET last_used_at = used.at
      FROM unnest(${ids}::uuid[], ${times}::timestamptz[]) AS used(id, at)
      WHERE keys.id = used.id AND (keys.last_used_at IS NULL OR keys.last_used_at < used.at)`;
  }

  /** The team of this name, made when there is none. One statement, so that of several who make it at once all get the same. */
  async team(name: string, id: string): Promise<Team> {
    const [team] = await this.database.$queryRaw<Team[]>`
      INSERT INTO gateway.teams (id, name) VALUES (${id}::uuid, ${name}) ON CONFLICT (name) DO UPDATE SET name = excluded.name
      RETURNING id, name, created_at AS "createdAt"`;
    if (team === undefined) throw new Error('INSERT … ON CONFLICT DO UPDATE returned no row');
    return team;
  }
}
