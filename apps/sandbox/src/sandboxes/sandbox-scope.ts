import type { Caller } from '@gatehouse/contracts';
import { Prisma } from '@gatehouse/database';

/** The part of a caller that decides which sandboxes and threads exist for it. */
export type SandboxScope = Pick<Caller, 'teamId' | 'agents' | 'endUserId'>;

export const WITH_AGENT = Prisma.sql`sandbox.sandboxes JOIN sandbox.agents ON agents.id = sandboxes.agent_id`;

/** Not yours is not there: every look-up of sandboxes by a caller goes through this. */
export const visibleTo = ({ teamId, agents, endUserId }: SandboxScope): Prisma.Sql => Prisma.sql`sandboxes.team_id = ${teamId}::uuid
  ${agents === undefined ? Prisma.empty : Prisma.sql`AND agents.slug = ANY(${[...agents]}::text[])`}
  ${endUserId === undefined ? Prisma.empty : Prisma.sql`AND (sandboxes.external_user_id IS NULL OR sandboxes.external_user_id = ${endUserId})`}`;

/** The same for threads of a sandbox that is visible. */
export const threadsVisibleTo = ({ endUserId }: SandboxScope): Prisma.Sql => (endUserId === undefined ? Prisma.sql`true` : Prisma.sql`threads.external_user_id = ${endUserId}`);

/** The sandboxes of this id, one per agent that uses it. */
export const named = (sandboxId: string, agent: string | undefined): Prisma.Sql => Prisma.sql`sandboxes.sandbox_id = ${sandboxId} ${ofAgent(agent)}`;
export const ofAgent = (agent: string | undefined): Prisma.Sql => (agent === undefined ? Prisma.empty : Prisma.sql`AND agents.slug = ${agent}`);
