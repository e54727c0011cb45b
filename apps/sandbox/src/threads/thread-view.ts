import type { Thread, ThreadMessage, ThreadStatus, ThreadSummary, ThreadUsage } from '@gatehouse/contracts';

export interface ThreadRow {
  readonly id: string;
  readonly name: string | null;
  readonly status: ThreadStatus;
  readonly externalUserId: string | null;
  /** As Postgres writes a time into JSON: in its connection's time zone and with as many decimals as it needs. */
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** What a thread's runs add to it. */
export interface ThreadHistory {
  readonly messages: readonly ThreadMessage[];
  /** Over all runs. */
  readonly usage: ThreadUsage;
  /** `endedAt` is null while it is in progress; `error` is null unless it failed. */
  readonly lastRun: { readonly endedAt: Date | null; readonly error: { readonly code: string; readonly message: string } | null } | null;
}

/** Of a thread in which nothing has run. */
export const NO_HISTORY: ThreadHistory = {
  messages: [],
  usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0, totalCostUsd: 0, durationMs: 0 },
  lastRun: null,
};

export const threadSummary = ({ createdAt, updatedAt, ...rest }: ThreadRow): ThreadSummary => ({ ...rest, createdAt: isoOf(createdAt), updatedAt: isoOf(updatedAt) });

export const threadView = (row: ThreadRow, { messages, usage, lastRun }: ThreadHistory): Thread => ({
  ...threadSummary(row),
  messages,
  usage,
  error: errorOf(lastRun),
  completedAt: lastRun?.endedAt?.toISOString() ?? null,
});

const errorOf = (lastRun: ThreadHistory['lastRun']): string | null => {
  const error = lastRun?.error ?? null;
  return error === null ? null : `${error.code}: ${error.message}`;
};

const isoOf = (time: string): string => new Date(time).toISOString();
