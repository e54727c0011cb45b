import type { SandboxStatus } from '@gatehouse/contracts';
import { type Database, Prisma } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import { Injectable } from '@nestjs/common';
import type { SealedEnvs } from '../envs/sealed-envs.js';
import type { CreatedPosition } from '../pages/page-cursors.js';
import { joinThreads } from '../threads/join-threads.js';
import type { ThreadRow } from '../threads/thread-view.js';
import { named, ofAgent, type SandboxScope, visibleTo, WITH_AGENT } from './sandbox-scope.js';

export interface SandboxRow {
  /** Ours; callers know it by `sandboxId`. */
  readonly id: string;
  readonly sandboxId: string;
  readonly status: SandboxStatus;
  readonly error: string | null;
  readonly agentSlug: string;
  readonly agentName: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly externalUserId: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface SandboxWithThreadsRow extends SandboxRow {
  readonly threads: readonly ThreadRow[];
}

/** What a call into a sandbox needs to know of it. */
export interface SandboxInUse {
  readonly id: string;
  readonly teamId: string;
  readonly agentId: string;
  readonly agentVersion: number;
  readonly nodeId: string;
  readonly status: SandboxStatus;
  readonly generation: number;
  readonly agentEnvs: SealedEnvs;
  readonly ownEnvs: SealedEnvs;
}

export interface SandboxFilter {
  readonly agent?: string | undefined;
  readonly status?: SandboxStatus | undefined;
  /** All of these pairs. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

export interface NewSandbox {
  readonly id: string;
  readonly sandboxId: string;
  readonly teamId: string;
  readonly agentId: string;
  readonly agentVersion: number;
  readonly nodeId: string;
  readonly generation: number;
  readonly createdAt: Date;
  /** Null, and empty lists: the agent's. */
  readonly timeoutMs: number | null;
  readonly networkAllowOut: readonly string[];
  readonly networkDenyOut: readonly string[];
  readonly envs: SealedEnvs;
  readonly metadata: Readonly<Record<string, string>>;
  readonly externalUserId: string | null;
}

/** A deleted sandbox whose box and disk its node still has to free. */
export interface SandboxRemoval {
  readonly sandboxRowId: string;
  readonly nodeId: string;
}

const COLUMNS = Prisma.sql`
  sandboxes.id, sandboxes.sandbox_id AS "sandboxId", sandboxes.status::text, sandboxes.error, agents.slug AS "agentSlug", versions.name AS "agentName",
  sandboxes.metadata, sandboxes.external_user_id AS "externalUserId", sandboxes.created_at AS "createdAt", sandboxes.updated_at AS "updatedAt"`;
const WITH_AGENT_NAME = Prisma.sql`${WITH_AGENT} JOIN sandbox.agent_versions versions ON versions.agent_id = agents.id AND versions.version = agents.active_version`;

@Injectable()
export class SandboxesStore {
  constructor(@InjectDatabase() private readonly database: Database) {}

  /** Newest first. */
  list(scope: SandboxScope, { agent, status, metadata }: SandboxFilter, after: CreatedPosition | null, count: number): Promise<SandboxRow[]> {
    return this.database.$queryRaw<SandboxRow[]>`
      SELECT ${COLUMNS} FROM ${WITH_AGENT_NAME}
      WHERE ${visibleTo(scope)} ${ofAgent(agent)}
      ${status === undefined ? Prisma.empty : Prisma.sql`AND sandboxes.status = ${status}::sandbox.sandbox_status`}
      ${metadata === undefined ? Prisma.empty : Prisma.sql`AND sandboxes.metadata @> ${JSON.stringify(metadata)}::jsonb`}
      ${after === null ? Prisma.empty : Prisma.sql`AND (sandboxes.created_at, sandboxes.id) < (${after.createdAt}::timestamptz, ${after.id}::uuid)`}
      ORDER BY sandboxes.created_at DESC, sandboxes.id DESC LIMIT ${count}`;
  }

  /** The sandboxes of this id, one per agent that uses it; at most two, which is enough to know that it is ambiguous. */
  withThreads(scope: SandboxScope, sandboxId: string, agent: string | undefined): Promise<SandboxWithThreadsRow[]> {
    return this.database.$queryRaw<SandboxWithThreadsRow[]>`
      SELECT ${COLUMNS}, threads.list AS threads
      FROM ${WITH_AGENT_NAME} ${joinThreads(scope)}
      WHERE ${visibleTo(scope)} AND ${named(sandboxId, agent)} LIMIT 2`;
  }

  /** Like {@link withThreads}, for a call into the sandbox. */
  inUse(scope: SandboxScope, sandboxId: string, agent: string | undefined): Promise<SandboxInUse[]> {
    return this.database.$queryRaw<SandboxInUse[]>`
      SELECT sandboxes.id, sandboxes.team_id AS "teamId", sandboxes.agent_id AS "agentId", sandboxes.agent_version AS "agentVersion", sandboxes.node_id AS "nodeId",
        sandboxes.status::text, sandboxes.generation, versions.envs AS "agentEnvs", sandboxes.envs AS "ownEnvs"
      FROM ${WITH_AGENT} JOIN sandbox.agent_versions versions ON versions.agent_id = sandboxes.agent_id AND versions.version = sandboxes.agent_version
      WHERE ${visibleTo(scope)} AND ${named(sandboxId, agent)} LIMIT 2`;
  }

  /**
   * Writes the row, status `creating`.
   * @returns false when the agent is gone or uses this id already
   */
  async create(sandbox: NewSandbox): Promise<boolean> {
    const { id, sandboxId, teamId, agentId, agentVersion, nodeId, generation, createdAt, timeoutMs, networkAllowOut, networkDenyOut, envs, metadata, externalUserId } = sandbox;
    // Locks the agent's row against its deletion, which must see this sandbox or come before it.
    const written = await this.database.$executeRaw`
      INSERT INTO sandbox.sandboxes
        (id, sandbox_id, team_id, agent_id, agent_version, node_id, generation, created_at, updated_at, timeout_ms, network_allow_out, network_deny_out, envs, metadata, external_user_id)
      SELECT ${id}::uuid, ${sandboxId}, team_id, id, ${agentVersion}::int, ${nodeId}, ${generation}::int, ${createdAt}::timestamptz, ${createdAt}::timestamptz,
        ${timeoutMs}::int, ${[...networkAllowOut]}::text[], ${[...networkDenyOut]}::text[],
        ${envs === null ? null : JSON.stringify(envs)}::jsonb, ${JSON.stringify(metadata)}::jsonb, ${externalUserId}::text
      FROM sandbox.agents WHERE id = ${agentId}::uuid AND team_id = ${teamId}::uuid FOR KEY SHARE
      ON CONFLICT (agent_id, sandbox_id) DO NOTHING`;
    return written === 1;
  }
}
