import { uuidV7 } from '@gatehouse/contracts';
import { type Database, inTransaction, Prisma, type Transaction } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import { Injectable } from '@nestjs/common';
import type { SealedEnvs } from '../envs/sealed-envs.js';
import type { CreatedPosition } from '../pages/page-cursors.js';
import type { SandboxRemoval } from '../sandboxes/sandboxes.store.js';
import type { KeptDefinition } from './agent-definition.js';

/** An agent with its active version, without the values of `envs`. */
export interface AgentRow {
  readonly id: string;
  readonly slug: string;
  /** The active one. */
  readonly version: number;
  readonly latestVersion: number;
  readonly definition: KeptDefinition;
  readonly envKeys: readonly string[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a new sandbox is made from. */
export interface AgentForSandbox {
  readonly id: string;
  readonly teamId: string;
  readonly version: number;
  readonly definition: KeptDefinition;
  readonly envs: SealedEnvs;
}

export interface AgentVersionRow {
  readonly version: number;
  readonly active: boolean;
  readonly keyId: string;
  readonly definition: KeptDefinition;
  readonly envKeys: readonly string[];
  readonly createdAt: Date;
}

/** Of a page: `definition` is null once the definitions before it have filled the page. */
export type Paged<Row> = Omit<Row, 'definition'> & { readonly definition: KeptDefinition | null };

/** An agent whose active version declares servers. */
export interface AgentServersRow {
  readonly id: string;
  readonly name: string;
  readonly slug: string;
  readonly activeVersion: number;
  readonly servers: readonly Server[];
}
type Server = KeptDefinition['mcpServers'][number];

export interface NextVersion {
  readonly definition: KeptDefinition;
  readonly envKeys: readonly string[];
  /** The API key that puts it. */
  readonly keyId: string;
  /** Values are sealed for their place, which is known only once the version has its number. */
  readonly sealEnvs: (agentId: string, version: number) => Promise<SealedEnvs>;
}

const COLUMNS_BESIDE_DEFINITION = Prisma.sql`
  agents.id, agents.slug, agents.active_version AS version, agents.latest_version AS "latestVersion",
  versions.env_keys AS "envKeys", agents.created_at AS "createdAt", agents.updated_at AS "updatedAt"`;
const COLUMNS = Prisma.sql`${COLUMNS_BESIDE_DEFINITION}, versions.definition`;

/** Bytes of definitions after which a page has no room for another; one always fits. */
const PAGE_BYTES_MAX = 16 * 1_048_576;
/** Definitions are as large as a request may be: they are read only as far as the page can take them. */
const definitionWithin = (order: Prisma.Sql): Prisma.Sql =>
  Prisma.sql`CASE WHEN sum(versions.definition_bytes) OVER (ORDER BY ${order}) - versions.definition_bytes <= ${PAGE_BYTES_MAX} THEN versions.definition END AS definition`;
const WITH_ACTIVE_VERSION = Prisma.sql`sandbox.agents JOIN sandbox.agent_versions versions ON versions.agent_id = agents.id AND versions.version = agents.active_version`;

@Injectable()
export class AgentsStore {
  constructor(@InjectDatabase() private readonly database: Database) {}

  /** Newest first. */
  list(teamId: string, after: CreatedPosition | null, count: number): Promise<Paged<AgentRow>[]> {
    return this.database.$queryRaw<Paged<AgentRow>[]>`
      SELECT ${COLUMNS_BESIDE_DEFINITION}, ${definitionWithin(Prisma.sql`agents.created_at DESC, agents.id DESC`)} FROM ${WITH_ACTIVE_VERSION}
      WHERE agents.team_id = ${teamId}::uuid
      ${after === null ? Prisma.empty : Prisma.sql`AND (agents.created_at, agents.id) < (${after.createdAt}::timestamptz, ${after.id}::uuid)`}
      ORDER BY agents.created_at DESC, agents.id DESC LIMIT ${count}`;
  }

  find(teamId: string, slug: string): Promise<AgentRow | null> {
    return findIn(this.database, teamId, slug);
  }

  async exists(id: string): Promise<boolean> {
    const [row] = await this.database.$queryRaw<{ exists: boolean }[]>`SELECT EXISTS (SELECT FROM sandbox.agents WHERE id = ${id}::uuid) AS exists`;
    return row?.exists === true;
  }

  /** Of active versions that declare any, by name, then slug. No definition is read. */
  servers(teamId: string): Promise<AgentServersRow[]> {
    return this.database.$queryRaw<AgentServersRow[]>`
      SELECT agents.id, versions.name, agents.slug, versions.version AS "activeVersion", versions.servers
      FROM ${WITH_ACTIVE_VERSION} WHERE agents.team_id = ${teamId}::uuid AND versions.servers <> '[]'::jsonb
      ORDER BY versions.name COLLATE "C", agents.slug COLLATE "C"`;
  }

  /** The active version with its sealed values. */
  async findForSandbox(teamId: string, slug: string): Promise<AgentForSandbox | null> {
    const [row] = await this.database.$queryRaw<AgentForSandbox[]>`
      SELECT agents.id, agents.team_id AS "teamId", versions.version, versions.definition, versions.envs
      FROM ${WITH_ACTIVE_VERSION} WHERE agents.team_id = ${teamId}::uuid AND agents.slug = ${slug}`;
    return row ?? null;
  }

  /**
   * Makes the next version and activates it; version 1 where there was no agent. One statement makes or locks the agent's
   * row, so writers of one slug take turns, the first among them too.
   */
  put(teamId: string, slug: string, { definition, envKeys, keyId, sealEnvs }: NextVersion): Promise<AgentRow> {
    return inTransaction(this.database, async transaction => {
      const [agent] = await transaction.$queryRaw<Omit<AgentRow, 'slug' | 'definition' | 'envKeys'>[]>`
        INSERT INTO sandbox.agents AS agents (id, team_id, slug, active_version, latest_version)
        VALUES (${uuidV7()}::uuid, ${teamId}::uuid, ${slug}, 1, 1)
        ON CONFLICT (team_id, slug) DO UPDATE
        SET latest_version = agents.latest_version + 1, active_version = agents.latest_version + 1, updated_at = clock_timestamp()
        RETURNING id, active_version AS version, latest_version AS "latestVersion", created_at AS "createdAt", updated_at AS "updatedAt"`;
      if (agent === undefined) throw new Error('INSERT … ON CONFLICT DO UPDATE returned no row');
      const envs = await sealEnvs(agent.id, agent.version);
      const text = JSON.stringify(definition);
      await transaction.$executeRaw`
        INSERT INTO sandbox.agent_versions (agent_id, version, name, definition, definition_bytes, servers, env_keys, envs, key_id, created_at)
        VALUES (${agent.id}::uuid, ${agent.version}, ${definition.name}, ${text}::json, ${Buffer.byteLength(text)},
          ${JSON.stringify(definition.mcpServers.map(storableServer))}::jsonb, ${[...envKeys]}::text[],
          ${envs === null ? null : JSON.stringify(envs)}::jsonb, ${keyId}::uuid, clock_timestamp())`;
      return { ...agent, slug, definition, envKeys };
    });
  }

  /** Makes an older version the active one. */
  activate(teamId: string, slug: string, version: number): Promise<AgentRow | 'agent-missing' | 'version-missing' | 'already-active'> {
    return inTransaction(this.database, async transaction => {
      const [agent] = await transaction.$queryRaw<{ id: string; activeVersion: number; exists: boolean }[]>`
        SELECT id, active_version AS "activeVersion",
          EXISTS (SELECT FROM sandbox.agent_versions WHERE agent_id = agents.id AND version = ${version}) AS exists
        FROM sandbox.agents WHERE team_id = ${teamId}::uuid AND slug = ${slug} FOR UPDATE`;
      if (agent === undefined) return 'agent-missing';
      if (!agent.exists) return 'version-missing';
      if (agent.activeVersion === version) return 'already-active';
      await transaction.$executeRaw`UPDATE sandbox.agents SET active_version = ${version}, updated_at = clock_timestamp() WHERE id = ${agent.id}::uuid`;
      return (await findIn(transaction, teamId, slug)) ?? 'agent-missing';
    });
  }

  /** Highest first; null without such an agent. */
  async versions(teamId: string, slug: string, below: number | null, count: number): Promise<Paged<AgentVersionRow>[] | null> {
    // The outer join keeps one empty row of an agent whose versions have all been listed.
    const rows = await this.database.$queryRaw<(Paged<AgentVersionRow> | { version: null })[]>`
      SELECT versions.version, versions.version = agents.active_version AS active, versions.key_id AS "keyId",
        ${definitionWithin(Prisma.sql`versions.version DESC`)}, versions.env_keys AS "envKeys", versions.created_at AS "createdAt"
      FROM sandbox.agents LEFT JOIN LATERAL (
        SELECT * FROM sandbox.agent_versions
        WHERE agent_id = agents.id ${below === null ? Prisma.empty : Prisma.sql`AND version < ${below}`}
        ORDER BY version DESC LIMIT ${count}
      ) versions ON true
      WHERE agents.team_id = ${teamId}::uuid AND agents.slug = ${slug}
      ORDER BY versions.version DESC`;
    return rows.length === 0 ? null : rows.filter((row): row is Paged<AgentVersionRow> => row.version !== null);
  }

  /**
   * Deletes the agent with its versions, sandboxes and threads.
   * @returns boxes and disks their nodes must free now; null without such an agent.
   */
  delete(teamId: string, slug: string): Promise<SandboxRemoval[] | null> {
    return inTransaction(this.database, async transaction => {
      // Whoever makes a sandbox of this agent holds its row until the sandbox is written: after this lock none is missed.
      const [agent] = await transaction.$queryRaw<{ id: string }[]>`SELECT id FROM sandbox.agents WHERE team_id = ${teamId}::uuid AND slug = ${slug} FOR UPDATE`;
      if (agent === undefined) return null;
      const removals = await transaction.$queryRaw<SandboxRemoval[]>`
        INSERT INTO sandbox.sandbox_removals (sandbox_row_id, node_id) SELECT id, node_id FROM sandbox.sandboxes WHERE agent_id = ${agent.id}::uuid
        ON CONFLICT DO NOTHING RETURNING sandbox_row_id AS "sandboxRowId", node_id AS "nodeId"`;
      await transaction.$executeRaw`DELETE FROM sandbox.agents WHERE id = ${agent.id}::uuid`;
      return removals;
    });
  }
}

/** The definition keeps texts of any characters; jsonb refuses halves of surrogate pairs. */
const storableServer = ({ name, url }: Server): Server => ({ name: wellFormed(name), url: wellFormed(url) });
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\ufffd');

const findIn = async (database: Database | Transaction, teamId: string, slug: string): Promise<AgentRow | null> => {
  const [row] = await database.$queryRaw<AgentRow[]>`SELECT ${COLUMNS} FROM ${WITH_ACTIVE_VERSION} WHERE agents.team_id = ${teamId}::uuid AND agents.slug = ${slug}`;
  return row ?? null;
};
