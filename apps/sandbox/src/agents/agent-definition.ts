import { type AgentDefinition, DEFAULT_MODEL, filesOf, GatehouseError, parseUsd, type PutAgent, type SystemPromptPreset, toUsd } from '@gatehouse/contracts';
import type { Installation } from '../installation.js';

export const CWD_DEFAULT = '/home/user/workspace';

/** What versions keep. `cwd` stays null when it was not given: setup runs there only where it was. */
export type KeptDefinition = Omit<AgentDefinition, 'sandbox'> & { readonly sandbox: Omit<AgentDefinition['sandbox'], 'cwd'> & { readonly cwd: string | null } };

/**
 * A definition as callers put it, with its defaults filled in (spec 4.1, 4.2).
 * @throws GatehouseError `validation_error` when it asks for more than the installation offers.
 */
export const agentDefinition = (put: PutAgent, installation: Installation): KeptDefinition => {
  refuseWhatIsNotOffered(put, installation);
  const { sandbox = {} } = put;
  return {
    name: put.name ?? put.slug,
    model: put.model ?? DEFAULT_MODEL,
    systemPrompt: put.systemPrompt === undefined ? null : promptOf(put.systemPrompt),
    maxTurns: put.maxTurns ?? 50,
    maxBudgetUsd: usdOf(put.maxBudgetUsd),
    maxSandboxBudgetUsd: usdOf(put.maxSandboxBudgetUsd),
    permissionMode: put.permissionMode ?? 'bypassPermissions',
    allowedTools: put.allowedTools ?? null,
    disallowedTools: put.disallowedTools ?? [],
    mcpServers: (put.mcpServers ?? []).map(({ name, url }) => ({ name, url })),
    vaultIds: (put.vaultIds ?? []).map(id => id.toLowerCase()),
    sandbox: {
      timeoutMs: sandbox.timeoutMs ?? 30_000,
      cpuCount: sandbox.cpuCount ?? null,
      memoryMB: sandbox.memoryMB ?? null,
      diskMB: sandbox.diskMB ?? null,
      files: Object.fromEntries(filesOf(sandbox.files ?? {}).map(({ path, content }) => [path, content])),
      setup: sandbox.setup ?? [],
      cwd: sandbox.cwd ?? null,
      networkAllowOut: sandbox.networkAllowOut ?? [],
      networkDenyOut: sandbox.networkDenyOut ?? [],
    },
  };
};

/** A definition as callers see it. */
export const definitionView = ({ sandbox, ...definition }: KeptDefinition): AgentDefinition => ({ ...definition, sandbox: { ...sandbox, cwd: sandbox.cwd ?? CWD_DEFAULT } });

const refuseWhatIsNotOffered = ({ model, sandbox = {} }: PutAgent, { models, maxima }: Installation): void => {
  const problems = model === undefined || models.has(model) ? [] : ['model is not offered by this installation'];
  for (const name of ['cpuCount', 'memoryMB', 'diskMB'] as const) {
    if ((sandbox[name] ?? 0) > maxima[name]) problems.push(`sandbox.${name} must be at most ${maxima[name]} in this installation`);
  }
  if (problems.length > 0) throw new GatehouseError('validation_error', problems.join('; '));
};

const promptOf = (prompt: string | SystemPromptPreset): string | SystemPromptPreset =>
  // `append` may arrive as null, which is the same as absent.
  typeof prompt === 'string' ? prompt : { type: 'preset', preset: 'claude_code', ...(typeof prompt.append === 'string' ? { append: prompt.append } : {}) };

/** Dollars as a JSON number, whichever way they were written. */
const usdOf = (amount: number | string | undefined): number | null => {
  const microUsd = parseUsd(amount);
  return microUsd === null ? null : toUsd(microUsd);
};
