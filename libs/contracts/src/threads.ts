import { rpc, rpcContract } from './rpc/contract.js';
import { SandboxRef } from './sandboxes.js';
import { FromPath, Optional } from './validation/input-fields.js';
import { IsText } from './validation/rules.js';

/**
 * `idle`: no run yet; `streaming`: a run is in progress; the others say how the last one ended. Clients compare with
 * these literals.
 */
export const THREAD_STATUSES = ['idle', 'streaming', 'completed', 'error', 'cancelled'] as const;
export type ThreadStatus = (typeof THREAD_STATUSES)[number];

/** A sandbox shows at most this many of its threads, the newest. */
export const THREADS_SHOWN_MAX = 1_000;

export class CreateThread extends SandboxRef {
  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: 200 })
  name?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: 255 })
  externalUserId?: string;
}

export class ThreadRef extends SandboxRef {
  /** A malformed id is a thread that does not exist. */
  @FromPath()
  threadId!: string;
}

export interface ThreadSummary {
  readonly id: string;
  readonly name: string | null;
  readonly status: ThreadStatus;
  readonly externalUserId: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** Summed over all runs of the thread; 0 is 0. */
export interface ThreadUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
  readonly totalCostUsd: number;
  readonly durationMs: number;
}

export interface ThreadMessage {
  readonly id: string;
  readonly role: string;
  readonly metadata?: object;
  readonly parts: readonly object[];
}

export interface Thread extends ThreadSummary {
  /** In order; empty when there are none. */
  readonly messages: readonly ThreadMessage[];
  readonly usage: ThreadUsage;
  /** `<code>: <message>` of the last run when it failed. */
  readonly error: string | null;
  /** When the last run ended; null before that and while one is in progress. */
  readonly completedAt: string | null;
}

/** Conversations in a sandbox (spec 7). They are rows: any instance answers, whether the sandbox or its node is up or not. */
export const threadsRpc = rpcContract('sandbox', 'threads', {
  /** Newest first, at most the newest 1000. */
  list: rpc(SandboxRef).returns<readonly ThreadSummary[]>().throws('not_found', 'conflict'),
  create: rpc(CreateThread).returns<ThreadSummary>().throws('not_found', 'conflict'),
  get: rpc(ThreadRef).returns<Thread>().throws('not_found', 'conflict'),
  delete: rpc(ThreadRef).returns<void>().throws('not_found', 'conflict'),
});
