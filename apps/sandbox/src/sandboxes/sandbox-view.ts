import type { Sandbox, SandboxSummary } from '@gatehouse/contracts';
import type { SandboxRow, SandboxWithThreadsRow } from './sandboxes.store.js';

export const sandboxSummary = ({ sandboxId, status, error, agentSlug, agentName, metadata, externalUserId, createdAt, updatedAt }: SandboxRow): SandboxSummary => ({
  id: sandboxId,
  sandboxId,
  status,
  error,
  agent: { slug: agentSlug, name: agentName },
  metadata,
  externalUserId,
  createdAt: createdAt.toISOString(),
  updatedAt: updatedAt.toISOString(),
});

export const sandboxView = ({ threads, ...row }: SandboxWithThreadsRow): Sandbox => ({
  ...sandboxSummary(row),
  threads: threads.map(thread => ({ ...thread, createdAt: isoOf(thread.createdAt), updatedAt: isoOf(thread.updatedAt) })),
});

/** Postgres writes times into JSON in its connection's time zone and with as many decimals as it needs. */
const isoOf = (time: string): string => new Date(time).toISOString();
