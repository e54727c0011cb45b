import { type Caller, uuidV7 } from '@gatehouse/contracts';
import { Prisma } from '@gatehouse/database';

export type AuditAction =
  | 'vault.created'
  | 'vault.updated'
  | 'vault.archived'
  | 'vault.deleted'
  | 'vault.made_default'
  | 'vault.unset_default'
  | 'credential.created'
  | 'credential.updated'
  | 'credential.secret_replaced'
  | 'credential.archived'
  | 'credential.deleted'
  | 'credential.released'
  | 'credential.refused'
  | 'credential.refreshed'
  | 'credential.refresh_failed';

/** What was done, by whom and in whose name. `detail` is a host or a reason, never a secret. */
export interface AuditEvent {
  readonly action: AuditAction;
  readonly teamId: string;
  readonly vaultId: string | null;
  readonly credentialId: string | null;
  readonly keyId: string | null;
  readonly runId: string | null;
  readonly sandboxId: string | null;
  readonly requestId: string | null;
  readonly detail: string | null;
}

/** An event of a call over the API. */
export const apiEvent = ({ teamId, keyId, requestId }: Caller, action: AuditAction, vaultId: string, credentialId: string | null = null): AuditEvent => ({
  action,
  teamId,
  vaultId,
  credentialId,
  keyId,
  runId: null,
  sandboxId: null,
  requestId,
  detail: null,
});

const COLUMNS = Prisma.raw('id, team_id, at, action, vault_id, credential_id, key_id, run_id, sandbox_id, request_id, detail');

/** Writes the event if the common table expression `changed` has a row: what changed nothing is no event. */
export const recordIfChanged = (event: AuditEvent): Prisma.Sql => Prisma.sql`
  INSERT INTO vault.audit_events (${COLUMNS})
  SELECT ${uuidV7()}::uuid, ${event.teamId}::uuid, clock_timestamp(), ${event.action}, ${event.vaultId}::uuid, ${event.credentialId}::uuid, ${event.keyId}::uuid,
    ${event.runId}::uuid, ${event.sandboxId}, ${event.requestId}, ${event.detail}
  FROM changed LIMIT 1`;

/** Writes many at once; one statement text however many there are. */
export const recordAll = (events: readonly AuditEvent[]): Prisma.Sql => {
  const column = (of: (event: AuditEvent) => string | null): (string | null)[] => events.map(of);
  return Prisma.sql`
    INSERT INTO vault.audit_events (${COLUMNS})
    SELECT id, team_id, clock_timestamp(), action, vault_id, credential_id, key_id, run_id, sandbox_id, request_id, detail FROM unnest(
      ${events.map(() => uuidV7())}::uuid[], ${column(event => event.teamId)}::uuid[], ${column(event => event.action)}::text[],
      ${column(event => event.vaultId)}::uuid[], ${column(event => event.credentialId)}::uuid[], ${column(event => event.keyId)}::uuid[],
      ${column(event => event.runId)}::uuid[], ${column(event => event.sandboxId)}::text[], ${column(event => event.requestId)}::text[],
      ${column(event => event.detail)}::text[]
    ) AS event (id, team_id, action, vault_id, credential_id, key_id, run_id, sandbox_id, request_id, detail)`;
};
