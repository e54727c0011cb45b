import { describe, expect, test } from '@jest/globals';
import { expectError } from '@gatehouse/testing';
import { resolveVaults, type UsableVault, type VaultRequest } from './resolve-vaults.js';

const [OWN, USERS_OLD, USERS_NEW, STANDARD, GONE] = ['a', 'b', 'c', 'd', 'e'].map(digit => `00000000-0000-4000-8000-00000000000${digit}`) as [string, string, string, string, string];
const vault = (id: string, changes: Partial<UsableVault> = {}): UsableVault => ({ id, externalUserId: null, isDefault: false, createdAt: new Date(1_000), ...changes });
const USABLE = [vault(OWN), vault(USERS_NEW, { externalUserId: 'u1', createdAt: new Date(3_000) }), vault(USERS_OLD, { externalUserId: 'u1', createdAt: new Date(2_000) }), vault(STANDARD, { isDefault: true })];
const resolved = (request: Partial<VaultRequest>, usable = USABLE) => resolveVaults({ vaultIds: undefined, externalUserId: undefined, agentVaultIds: [], ...request }, usable);
const skipped = `Vault ${GONE} of the agent is not available and was skipped`;

describe('the vaults of a run', () => {
  test.each<[what: string, request: Partial<VaultRequest>, expected: object]>([
    ['the request, in its order, each once', { vaultIds: [STANDARD, OWN, STANDARD.toUpperCase()], externalUserId: 'u1', agentVaultIds: [GONE] }, { source: 'session', vaultIds: [STANDARD, OWN], warnings: [] }],
    ['none at all by request', { vaultIds: [], externalUserId: 'u1', agentVaultIds: [OWN] }, { source: 'session', vaultIds: [], warnings: [] }],
    ['the end user, oldest first', { externalUserId: 'u1', agentVaultIds: [OWN] }, { source: 'external_user', vaultIds: [USERS_OLD, USERS_NEW], warnings: [] }],
    ['an end user without a vault', { externalUserId: 'u2', agentVaultIds: [OWN] }, { source: 'agent_config', vaultIds: [OWN], warnings: [] }],
    ['the agent, without what is gone', { agentVaultIds: [GONE, OWN, OWN] }, { source: 'agent_config', vaultIds: [OWN], warnings: [skipped] }],
    ['the default, when nothing of the agent is left', { agentVaultIds: [GONE] }, { source: 'team_default', vaultIds: [STANDARD], warnings: [skipped] }],
    ['the default', {}, { source: 'team_default', vaultIds: [STANDARD], warnings: [] }],
  ])('%s', (_what, request, expected) => expect(resolved(request)).toEqual(expected));

  test('the 50 oldest of an end user, and a warning that there are more', () => {
    const theirs = Array.from({ length: 51 }, (_, age) => vault(`00000000-0000-4000-8000-0000000001${String(99 - age)}`, { externalUserId: 'u1', createdAt: new Date(1_000 * (51 - age)) }));
    const oldestFirst = theirs.map(({ id }) => id).reverse();
    expect(resolved({ externalUserId: 'u1' }, theirs)).toEqual({ source: 'external_user', vaultIds: oldestFirst.slice(0, 50), warnings: ['The end user has more than 50 vaults; only the 50 oldest are used'] });
    expect(resolved({ externalUserId: 'u1' }, theirs.slice(1))).toEqual({ source: 'external_user', vaultIds: oldestFirst.slice(0, 50), warnings: [] });
  });

  test('none, when there is no default', () => {
    expect(resolved({ agentVaultIds: [GONE] }, [vault(OWN)])).toEqual({ source: 'none', vaultIds: [], warnings: [skipped] });
  });

  test('must all be usable when the request names them', async () => {
    const error = await expectError(Promise.resolve().then(() => resolved({ vaultIds: [OWN, GONE] })), 'not_found');
    expect(error.toEnvelope()).toEqual({ error: { code: 'not_found', message: 'Vault not found', status: 404 } });
  });
});
