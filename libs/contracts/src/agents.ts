import { isIP } from 'node:net';
import { Nothing } from './health.js';
import { type Page, PageQuery } from './pages.js';
import { rpc, rpcContract } from './rpc/contract.js';
import type { Coverage } from './vaults/coverage.js';
import { IsVaultIds, VaultChoice } from './vaults/vault-choice.js';
import { FromPath, Optional, Required, Strict } from './validation/input-fields.js';
import { type FilesInput, IsEnvMap, IsFilesMap } from './validation/maps.js';
import { type Check, IsHttpUrl, IsInput, IsInteger, IsListOf, IsListOfInputs, IsOneOf, IsPath, IsSlug, IsText, IsTextList, IsUsd, Rule, TextRule } from './validation/rules.js';

export const PERMISSION_MODES = ['default', 'acceptEdits', 'bypassPermissions', 'plan', 'dontAsk'] as const;
export type PermissionMode = (typeof PERMISSION_MODES)[number];

/** The preset, alone or with a text after it. */
export interface SystemPromptPreset {
  readonly type: 'preset';
  readonly preset: 'claude_code';
  readonly append?: string;
}

const systemPrompt: Check = value => {
  if (typeof value === 'string') return value.length <= 100_000 ? null : 'must have at most 100000 characters';
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'must be a string or a preset object';
  const { type, preset, append, ...others } = value as Record<string, unknown>;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined) return `.${unknown} is not allowed`;
  if (type !== 'preset') return '.type must be preset';
  if (preset !== 'claude_code') return '.preset must be claude_code';
  if (append !== undefined && append !== null && (typeof append !== 'string' || append.length > 100_000)) return '.append must be a string of at most 100000 characters';
  return null;
};

/** A last label of digits makes it an address, as in a URL, and those have their own form. */
const isHostPattern = (value: string): boolean => /^(\*\.)?([A-Za-z0-9_-]{1,63}\.)*(?!\d+\.?$)[A-Za-z0-9_-]{1,63}\.?$/.test(value);

const isAddressRange = (value: string): boolean => {
  const [address = '', bits, ...rest] = value.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
};

/** Host, `*.host`, IP or CIDR. */
const networkTarget: Check = value => {
  if (typeof value !== 'string') return 'must be a string';
  if (value.length < 1 || value.length > 253) return 'must have 1 to 253 characters';
  return isHostPattern(value) || isAddressRange(value) ? null : 'must be a host, *.host, IP address or CIDR range';
};
export const IsNetworkList = () => IsListOf(200, networkTarget);

/** Shell commands run once, in order, when a sandbox is made. */
export const IsSetup = () => IsTextList({ maxItems: 100, max: 10_000 });

const MCP_SERVERS_MAX = 50;

const uniqueServerNames: Check = value => {
  // What is no list, or too long a one, other rules refuse.
  if (!Array.isArray(value) || value.length > MCP_SERVERS_MAX) return null;
  const names = new Set<string>();
  for (const [index, server] of value.entries()) {
    const name: unknown = (server as { name?: unknown } | null)?.name;
    if (typeof name !== 'string') continue;
    if (names.has(name)) return `[${index}].name is used twice`;
    names.add(name);
  }
  return null;
};

@Strict()
export class McpServer {
  @Required({ trim: true })
  @IsText({ min: 1, max: 100 })
  @TextRule('noDoubleUnderscore', text => (text.includes('__') ? 'must not contain __' : null))
  name!: string;

  @Required({ blank: 'missing' })
  @IsHttpUrl()
  url!: string;
}

@Strict()
export class AgentSandboxDefinition {
  /** Idle time after which the sandbox stops. */
  @Optional()
  @IsInteger({ min: 1_000, max: 86_400_000 })
  timeoutMs?: number;

  @Optional()
  @IsInteger({ min: 1, max: 64 })
  cpuCount?: number;

  @Optional()
  @IsInteger({ min: 128, max: 262_144 })
  memoryMB?: number;

  @Optional()
  @IsInteger({ min: 256, max: 1_048_576 })
  diskMB?: number;

  @Optional()
  @IsFilesMap()
  files?: FilesInput;

  @Optional()
  @IsSetup()
  setup?: string[];

  @Optional()
  @IsPath()
  cwd?: string;

  @Optional()
  @IsNetworkList()
  networkAllowOut?: string[];

  @Optional()
  @IsNetworkList()
  networkDenyOut?: string[];
}

/** A whole definition: absent fields take their defaults, not their former values. */
@Strict()
export class PutAgent {
  @FromPath()
  @IsSlug()
  slug!: string;

  @Optional({ trim: true })
  @IsText({ min: 1, max: 200 })
  name?: string;

  @Optional()
  @IsText({ min: 1, max: 200 })
  model?: string;

  @Optional()
  @Rule('systemPrompt', systemPrompt)
  systemPrompt?: string | SystemPromptPreset;

  @Optional()
  @IsInteger({ min: 1, max: 500 })
  maxTurns?: number;

  @Optional()
  @IsUsd({ positive: true })
  maxBudgetUsd?: number | string;

  @Optional()
  @IsUsd({ positive: true })
  maxSandboxBudgetUsd?: number | string;

  @Optional()
  @IsOneOf(PERMISSION_MODES)
  permissionMode?: PermissionMode;

  @Optional()
  @IsTextList({ maxItems: 200, max: 200 })
  allowedTools?: string[];

  @Optional()
  @IsTextList({ maxItems: 200, max: 200 })
  disallowedTools?: string[];

  @Optional()
  @IsListOfInputs(MCP_SERVERS_MAX, () => McpServer)
  @Rule('uniqueServerNames', uniqueServerNames)
  mcpServers?: McpServer[];

  @Optional()
  @IsVaultIds()
  vaultIds?: string[];

  @Optional()
  @IsEnvMap()
  envs?: Record<string, string>;

  @Optional()
  @IsInput(() => AgentSandboxDefinition)
  sandbox?: AgentSandboxDefinition;
}

export class AgentRef {
  /** A malformed slug is an agent that does not exist. */
  @FromPath()
  slug!: string;
}

export class ListAgentVersions extends PageQuery {
  @FromPath()
  slug!: string;
}

export class RollbackAgent extends AgentRef {
  @Required()
  @IsInteger({ min: 1, max: 2_147_483_647 })
  version!: number;
}

/** What an agent is, with its defaults filled in and without the values of `envs`. */
export interface AgentDefinition {
  readonly name: string;
  readonly model: string;
  readonly systemPrompt: string | SystemPromptPreset | null;
  readonly maxTurns: number;
  readonly maxBudgetUsd: number | null;
  readonly maxSandboxBudgetUsd: number | null;
  readonly permissionMode: PermissionMode;
  readonly allowedTools: readonly string[] | null;
  readonly disallowedTools: readonly string[];
  readonly mcpServers: readonly { readonly name: string; readonly url: string }[];
  readonly vaultIds: readonly string[];
  readonly sandbox: {
    readonly timeoutMs: number;
    readonly cpuCount: number | null;
    readonly memoryMB: number | null;
    readonly diskMB: number | null;
    readonly files: Readonly<Record<string, string>>;
    readonly setup: readonly string[];
    readonly cwd: string;
    readonly networkAllowOut: readonly string[];
    readonly networkDenyOut: readonly string[];
  };
}

export interface Agent extends AgentDefinition {
  readonly id: string;
  readonly slug: string;
  readonly version: number;
  readonly latestVersion: number;
  readonly envKeys: readonly string[];
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface AgentVersion {
  readonly version: number;
  readonly active: boolean;
  readonly keyId: string;
  readonly createdAt: string;
  readonly definition: AgentDefinition & { readonly envKeys: readonly string[] };
}

/** What a chat would find (spec 8.5), asked without one. */
export class CheckCoverage extends VaultChoice implements AgentRef {
  /** A malformed slug is an agent that does not exist. */
  @FromPath()
  slug!: string;
}

/** An agent whose active version declares servers. */
export interface AgentServers {
  readonly id: string;
  readonly name: string;
  readonly slug: string;
  readonly activeVersion: number;
  readonly servers: readonly { readonly name: string; readonly url: string }[];
}

export const agentsRpc = rpcContract('sandbox', 'agents', {
  list: rpc(PageQuery).returns<Page<Agent>>().throws('validation_error'),
  get: rpc(AgentRef).returns<Agent>().throws('not_found'),
  /** Writers of one slug take turns. */
  put: rpc(PutAgent).returns<{ agent: Agent; created: boolean }>().throws('validation_error').within(15_000).sealing('envs'),
  delete: rpc(AgentRef).returns<void>().throws('not_found').within(30_000),
  versions: rpc(ListAgentVersions).returns<Page<AgentVersion>>().throws('not_found', 'validation_error'),
  /** Asks the vault service. */
  coverage: rpc(CheckCoverage).returns<Coverage>().throws('not_found').within(10_000),
  /** Of all agents that declare servers, by name. */
  servers: rpc(Nothing).returns<readonly AgentServers[]>(),
  rollback: rpc(RollbackAgent).returns<Agent>().throws('not_found', 'conflict'),
});
