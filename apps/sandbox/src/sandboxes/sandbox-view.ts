import type { Sandbox, SandboxSummary } from '@gatehouse/contracts';
import { threadSummary } from '../threads/thread-view.js';
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
  threads: threads.map(threadSummary),
});
