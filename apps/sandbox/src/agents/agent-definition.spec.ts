import { describe, expect, it } from '@jest/globals';
import { expectError } from '@gatehouse/testing';
import { definition, INSTALLATION } from '../testing/test-node.js';
import { agentDefinition, definitionView } from './agent-definition.js';

const kept = (body: object = {}) => agentDefinition(definition('reviewer', body), INSTALLATION);
const refusal = (body: object) => expectError(Promise.resolve().then(() => kept(body)), 'validation_error');

const DEFAULTS = {
  name: 'reviewer',
  model: 'claude-sonnet-4-6',
  systemPrompt: null,
  maxTurns: 50,
  maxBudgetUsd: null,
  maxSandboxBudgetUsd: null,
  permissionMode: 'bypassPermissions',
  allowedTools: null,
  disallowedTools: [],
  mcpServers: [],
  vaultIds: [],
  sandbox: { timeoutMs: 30_000, cpuCount: null, memoryMB: null, diskMB: null, files: {}, setup: [], cwd: '/home/user/workspace', networkAllowOut: [], networkDenyOut: [] },
};

describe('agentDefinition', () => {
  it('fills in every default', () => {
    expect(definitionView(kept())).toEqual(DEFAULTS);
    expect(definitionView(kept({ name: null, model: null, sandbox: null, mcpServers: null }))).toEqual(DEFAULTS);
    expect(definitionView(kept({ sandbox: {} }))).toEqual(DEFAULTS);
  });

  it.each<[field: string, given: object, expected: object]>([
    ['name, trimmed', { name: '  Reviewer ' }, { name: 'Reviewer' }],
    ['a model', { model: 'scripted' }, { model: 'scripted' }],
    ['an alias', { model: 'opus' }, { model: 'opus' }],
    ['a text as prompt', { systemPrompt: '' }, { systemPrompt: '' }],
    ['the preset', { systemPrompt: { type: 'preset', preset: 'claude_code', append: null } }, { systemPrompt: { type: 'preset', preset: 'claude_code' } }],
    ['the preset and more', { systemPrompt: { type: 'preset', preset: 'claude_code', append: 'Be kind.' } }, { systemPrompt: { type: 'preset', preset: 'claude_code', append: 'Be kind.' } }],
    ['money as a number', { maxBudgetUsd: 2 }, { maxBudgetUsd: 2 }],
    ['money as a text', { maxBudgetUsd: '12.50', maxSandboxBudgetUsd: '0.000001' }, { maxBudgetUsd: 12.5, maxSandboxBudgetUsd: 0.000001 }],
    ['no tools at all', { allowedTools: [] }, { allowedTools: [] }],
    ['tools', { allowedTools: ['mcp__linear__*'], disallowedTools: ['Bash'] }, { allowedTools: ['mcp__linear__*'], disallowedTools: ['Bash'] }],
    ['servers, names trimmed', { mcpServers: [{ name: ' linear ', url: 'https://mcp.linear.app/mcp' }] }, { mcpServers: [{ name: 'linear', url: 'https://mcp.linear.app/mcp' }] }],
    ['vaults in lower case', { vaultIds: ['3F1D2C4B-5A69-4788-9ABC-DEF012345678'] }, { vaultIds: ['3f1d2c4b-5a69-4788-9abc-def012345678'] }],
  ])('keeps %s', (_field, given, expected) => {
    expect(definitionView(kept(given))).toEqual({ ...DEFAULTS, ...expected });
  });

  it.each<[field: string, given: object, expected: object]>([
    ['sizes up to what is offered', { cpuCount: 4, memoryMB: 8_192, diskMB: 20_480 }, { cpuCount: 4, memoryMB: 8_192, diskMB: 20_480 }],
    ['files as a map', { files: { 'a.txt': 'A', __proto__x: '' } }, { files: { 'a.txt': 'A', __proto__x: '' } }],
    ['files as a list, the last of one path', { files: [{ path: 'a', content: '1' }, { path: 'b', content: '2' }, { path: 'a', content: '3' }] }, { files: { a: '3', b: '2' } }],
    ['commands, time and directory', { setup: ['make'], timeoutMs: 1_000, cwd: '/srv' }, { setup: ['make'], timeoutMs: 1_000, cwd: '/srv' }],
    ['network lists', { networkAllowOut: ['*.github.com'], networkDenyOut: [] }, { networkAllowOut: ['*.github.com'], networkDenyOut: [] }],
  ])('keeps of sandbox: %s', (_field, sandbox, expected) => {
    expect(definitionView(kept({ sandbox }))).toEqual({ ...DEFAULTS, sandbox: { ...DEFAULTS.sandbox, ...expected } });
  });

  it('remembers whether the working directory was given', () => {
    expect(kept().sandbox.cwd).toBeNull();
    expect(kept({ sandbox: { cwd: '/home/user/workspace' } }).sandbox.cwd).toBe('/home/user/workspace');
  });

  it('refuses what the installation does not offer, all in one message', async () => {
    expect((await refusal({ model: 'gpt-9' })).message).toBe('model is not offered by this installation');
    const { message } = await refusal({ model: 'gpt-9', sandbox: { cpuCount: 5, memoryMB: 8_193, diskMB: 20_481 } });
    expect(message).toBe(
      'model is not offered by this installation; sandbox.cpuCount must be at most 4 in this installation; sandbox.memoryMB must be at most 8192 in this installation; sandbox.diskMB must be at most 20480 in this installation',
    );
  });
});
