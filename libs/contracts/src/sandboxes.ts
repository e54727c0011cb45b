import type { Caller } from './caller.js';
import { IsNetworkList, IsSetup } from './agents.js';
import { type Page, PageQuery } from './pages.js';
import { rpc, rpcContract } from './rpc/contract.js';
import type { ThreadSummary } from './threads.js';
import { FromPath, FromQuery, Optional, Required } from './validation/input-fields.js';
import { type FilesInput, IsEnvMap, IsFilesMap, IsMetadata } from './validation/maps.js';
import { IsInteger, IsOneOf, IsPath, IsSlug, IsText } from './validation/rules.js';

export const SANDBOX_STATUSES = ['creating', 'active', 'stopped', 'error'] as const;
export type SandboxStatus = (typeof SANDBOX_STATUSES)[number];

export class CreateSandbox {
  @Required({ blank: 'missing' })
  @IsSlug()
  agent!: string;

  /** Laid over the agent's files. */
  @Optional()
  @IsFilesMap()
  files?: FilesInput;

  /** Laid over the agent's envs, and stays so. */
  @Optional()
  @IsEnvMap()
  envs?: Record<string, string>;

  /** Run after the agent's own. */
  @Optional()
  @IsSetup()
  setup?: string[];

  @Optional()
  @IsInteger({ min: 1_000, max: 86_400_000 })
  timeoutMs?: number;

  @Optional()
  @IsNetworkList()
  networkAllowOut?: string[];

  @Optional()
  @IsNetworkList()
  networkDenyOut?: string[];

  @Optional({ nil: 'refused' })
  @IsMetadata()
  metadata?: Record<string, string>;

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: 255 })
  externalUserId?: string;
}

export class SandboxRef {
  /** A malformed id is a sandbox that does not exist. */
  @FromPath()
  id!: string;

  /** Chooses where one id is used by several agents. */
  @Optional()
  @FromQuery()
  @IsSlug()
  agent?: string;
}

export class ListSandboxes extends PageQuery {
  @Optional()
  @FromQuery()
  @IsSlug()
  agent?: string;

  @Optional()
  @FromQuery()
  @IsOneOf(SANDBOX_STATUSES)
  status?: SandboxStatus;

  /** `metadata[key]=value` in the query; all given pairs must match. */
  @Optional()
  @FromQuery()
  @IsMetadata()
  metadata?: Record<string, string>;
}

export class ExecCommand extends SandboxRef {
  @Required({ blank: 'missing' })
  @IsText({ min: 1, max: 100_000 })
  command!: string;

  @Optional()
  @IsPath()
  cwd?: string;

  @Optional()
  @IsEnvMap()
  envs?: Record<string, string>;

  @Optional()
  @IsInteger({ min: 1, max: 600_000 })
  timeoutMs?: number;
}

export interface CreatedSandbox {
  readonly id: string;
  /** Always equal to `id`. */
  readonly sandboxId: string;
  readonly status: SandboxStatus;
  readonly createdAt: string;
}

export interface SandboxSummary extends CreatedSandbox {
  /** Why the status is `error`. */
  readonly error: string | null;
  readonly agent: { readonly slug: string; readonly name: string };
  readonly metadata: Readonly<Record<string, string>>;
  readonly externalUserId: string | null;
  readonly updatedAt: string;
}

export interface Sandbox extends SandboxSummary {
  /** Newest first, at most the newest 1000. */
  readonly threads: readonly ThreadSummary[];
}

export interface ExecResult {
  /** UTF-8, at most 10 MiB; bytes that are not UTF-8 are U+FFFD. */
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
  /** True when either output was cut. */
  readonly truncated: boolean;
}

export const EXEC_TIMEOUT_DEFAULT_MS = 60_000;

/** All calls about one sandbox go to the node that holds it. */
export const bySandbox = (caller: Caller, { id, agent = '' }: SandboxRef): string => `${caller.teamId}/${agent}/${id}`;

export const sandboxesRpc = rpcContract('sandbox', 'sandboxes', {
  /** Waits for provisioning, files and setup: each setup command alone may take 120 s. */
  create: rpc(CreateSandbox).returns<CreatedSandbox>().throws('validation_error', 'not_found', 'sandbox_error').within(900_000).sealing('envs'),
  list: rpc(ListSandboxes).returns<Page<SandboxSummary>>().throws('validation_error'),
  get: rpc(SandboxRef).returns<Sandbox>().throws('not_found', 'conflict'),
  delete: rpc(SandboxRef).returns<void>().throws('not_found', 'conflict', 'sandbox_error').within(30_000).routedBy(bySandbox),
  exec: rpc(ExecCommand).returns<ExecResult>().throws('not_found', 'conflict', 'sandbox_error').within(660_000).sealing('envs').routedBy(bySandbox),
});
