import { type AgentDefinition, isUuid, type SandboxStatus } from '@gatehouse/contracts';
import { type Database, Prisma } from '@gatehouse/database';
import { InjectDatabase } from '@gatehouse/platform';
import { Inject, Injectable } from '@nestjs/common';
import type { KeptDefinition } from '../agents/agent-definition.js';
import { NODE_ID } from '../tokens.js';
import { FIRST_GENERATION, type StatusEvent, TRANSITIONS } from './sandbox-state.js';

/** What a node needs to know of a sandbox to start it. */
export interface StartPlan {
  readonly generation: number;
  readonly timeoutMs: number;
  readonly size: Pick<AgentDefinition['sandbox'], 'cpuCount' | 'memoryMB' | 'diskMB'>;
}

export interface NodeSandbox {
  readonly id: string;
  readonly status: SandboxStatus;
  readonly generation: number;
}

const LIFE = { id: true, status: true, generation: true } as const;

/** The rows of the sandboxes that live on this node, seen by the node itself rather than by a caller. */
@Injectable()
export class NodeSandboxesStore {
  constructor(
    @InjectDatabase() private readonly database: Database,
    @Inject(NODE_ID) private readonly nodeId: string,
  ) {}

  /** Those that should have a box, or are getting one. */
  living(): Promise<NodeSandbox[]> {
    return this.database.sandbox.findMany({ where: { nodeId: this.nodeId, status: { in: [...TRANSITIONS.restart.from] } }, select: LIFE });
  }

  /** Those of these sandboxes that exist. */
  async known(ids: readonly string[]): Promise<ReadonlyMap<string, NodeSandbox>> {
    const rows = await this.database.sandbox.findMany({ where: { nodeId: this.nodeId, id: { in: ids.filter(isUuid) } }, select: LIFE });
    return new Map(rows.map(row => [row.id, row]));
  }

  /** Those of these that are sandboxes, of whatever node. */
  async existing(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.database.sandbox.findMany({ where: { id: { in: ids.filter(isUuid) } }, select: { id: true } });
    return new Set(rows.map(({ id }) => id));
  }

  /** Null when the sandbox is gone. */
  async startPlan(id: string): Promise<StartPlan | null> {
    const [row] = await this.database.$queryRaw<{ generation: number; timeoutMs: number | null; definition: KeptDefinition }[]>`
      SELECT sandboxes.generation, sandboxes.timeout_ms AS "timeoutMs", versions.definition
      FROM sandbox.sandboxes JOIN sandbox.agent_versions versions ON versions.agent_id = sandboxes.agent_id AND versions.version = sandboxes.agent_version
      WHERE sandboxes.id = ${id}::uuid AND sandboxes.node_id = ${this.nodeId}`;
    if (row === undefined) return null;
    const { sandbox } = row.definition;
    return { generation: row.generation, timeoutMs: row.timeoutMs ?? sandbox.timeoutMs, size: sandbox };
  }

  /**
   * Applies an event to the life it was decided for.
   * @returns false when the sandbox is gone, lives another life by now, or is past this event
   */
  async apply(event: Exclude<StatusEvent, 'wake'>, { id, generation }: Pick<NodeSandbox, 'id' | 'generation'>, error: string | null = null): Promise<boolean> {
    const { from, to } = TRANSITIONS[event];
    const { count } = await this.database.sandbox.updateMany({
      where: { id, nodeId: this.nodeId, generation, status: { in: [...from] } },
      data: { status: to, error, updatedAt: new Date() },
    });
    return count === 1;
  }

  /** Begins the next life. Its generation; null when the sandbox is gone or its first life has not begun. */
  async wake(id: string): Promise<number | null> {
    const [row] = await this.database.sandbox.updateManyAndReturn({
      where: { id, nodeId: this.nodeId, status: { in: [...TRANSITIONS.wake.from] }, NOT: { status: 'creating', generation: FIRST_GENERATION } },
      data: { status: 'creating', error: null, generation: { increment: 1 }, updatedAt: new Date() },
      select: { generation: true },
    });
    return row?.generation ?? null;
  }

  /** Deletes the row and notes in the same statement that box and disk are still to be freed. False when it was gone already. */
  async remove(id: string, event: 'delete' | 'discard' = 'delete'): Promise<boolean> {
    const onlyFirstLife = event === 'discard' ? Prisma.sql`AND generation = ${FIRST_GENERATION}` : Prisma.empty;
    const count = await this.database.$executeRaw`
      WITH removed AS (
        DELETE FROM sandbox.sandboxes
        WHERE id = ${id}::uuid AND node_id = ${this.nodeId} AND status::text = ANY(${[...TRANSITIONS[event].from]}::text[]) ${onlyFirstLife}
        RETURNING id, node_id
      )
      INSERT INTO sandbox.sandbox_removals (sandbox_row_id, node_id) SELECT id, node_id FROM removed`;
    return count === 1;
  }

  /** Row ids of deleted sandboxes whose box and disk are still to be freed. */
  async removals(): Promise<string[]> {
    const rows = await this.database.sandboxRemoval.findMany({ where: { nodeId: this.nodeId }, select: { sandboxRowId: true }, orderBy: { createdAt: 'asc' }, take: 1_000 });
    return rows.map(({ sandboxRowId }) => sandboxRowId);
  }

  async forgetRemoval(id: string): Promise<void> {
    await this.database.sandboxRemoval.deleteMany({ where: { sandboxRowId: id, nodeId: this.nodeId } });
  }
}
