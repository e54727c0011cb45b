import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Caller, type CredentialAuth } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { expectError } from '@gatehouse/testing';
import { call, makeCaller, makeVault, openTestDatabase, runTokenFor, type TestVault } from '../testing/test-vault.js';

let database: Database;
let vault: TestVault;
beforeAll(() => {
  database = openTestDatabase();
  vault = makeVault(database);
});
afterAll(async () => {
  await vault.close();
  await database.$disconnect();
});

const bearer: CredentialAuth = { type: 'bearer', token: 't' };
const withCredentials = async (caller: Caller, count: number): Promise<{ vaultId: string; ids: string[] }> => {
  const { id: vaultId } = await vault.vault(caller);
  const ids: string[] = [];
  for (let index = 0; index < count; index++) ids.push((await vault.credential(caller, vaultId, bearer, { serverUrl: `https://s${index}.example.com/` })).id);
  return { vaultId, ids };
};

interface Event {
  readonly action: string;
  readonly vaultId: string;
  readonly credentialId: string | null;
  readonly keyId: string;
  readonly requestId: string;
  readonly detail: string | null;
}
/** What happened to vaults of a team since so many events, each action's together. */
const eventsOf = ({ teamId }: Caller, since = 0): Promise<Event[]> => database.$queryRaw<Event[]>`
  SELECT action, vault_id AS "vaultId", credential_id AS "credentialId", key_id AS "keyId", request_id AS "requestId", detail
  FROM (SELECT *, row_number() OVER (ORDER BY id) AS number FROM vault.audit_events WHERE team_id = ${teamId}::uuid) AS events
  WHERE number > ${since} ORDER BY action, credential_id`;
const event = ({ keyId }: Caller, action: string, vaultId: string, credentialId: string | null = null): Event => ({ action, vaultId, credentialId, keyId: keyId ?? '', requestId: 'spec', detail: credentialId === null ? null : 'with its vault' });

describe('the audit tells', () => {
  test('of each credential that is archived with its vault', async () => {
    const caller = makeCaller();
    const { vaultId, ids } = await withCredentials(caller, 20);
    const [early = '', ...others] = ids;
    await vault.credentials.delete(caller, { vaultId, credentialId: early });
    await vault.vaults.delete(caller, { vaultId });
    expect(await eventsOf(caller, 22)).toEqual([...others.sort().map(id => event(caller, 'credential.archived', vaultId, id)), event(caller, 'vault.archived', vaultId)]);
    await expectError(vault.vaults.delete(caller, { vaultId }), 'not_found');
    expect(await eventsOf(caller, 42)).toEqual([]);
  });

  test('of each credential that is deleted with its vault', async () => {
    const caller = makeCaller();
    const { vaultId, ids } = await withCredentials(caller, 3);
    await expectError(vault.vaults.delete(caller, { vaultId, force: 'true' }), 'conflict');
    await vault.vaults.delete(caller, { vaultId });
    await vault.vaults.delete(caller, { vaultId, force: 'true' });
    expect(await eventsOf(caller, 8)).toEqual([...ids.sort().map(id => event(caller, 'credential.deleted', vaultId, id)), event(caller, 'vault.deleted', vaultId)]);
    expect(await database.$queryRaw`SELECT id FROM vault.credentials WHERE vault_id = ${vaultId}::uuid`).toEqual([]);
    await expectError(vault.vaults.delete(caller, { vaultId, force: 'true' }), 'not_found');
    expect(await eventsOf(caller, 12)).toEqual([]);
  });

  test('of nothing but the vault when that is empty', async () => {
    const caller = makeCaller();
    const { id } = await vault.vault(caller);
    await vault.vaults.delete(caller, { vaultId: id });
    await vault.vaults.delete(caller, { vaultId: id, force: 'true' });
    expect(await eventsOf(caller, 1)).toEqual([event(caller, 'vault.archived', id), event(caller, 'vault.deleted', id)]);
  });

  test('of the default that is chosen and of the one that no longer is', async () => {
    const caller = makeCaller();
    const [{ id: first }, { id: second }] = [await vault.vault(caller), await vault.vault(caller)];
    const choose = (vaultId: string): Promise<void> => vault.vaults.setDefault(caller, { vaultId }, call);
    await choose(first);
    await choose(first);
    expect(await eventsOf(caller, 2)).toEqual([event(caller, 'vault.made_default', first)]);
    await choose(second);
    expect(await eventsOf(caller, 3)).toEqual([event(caller, 'vault.made_default', second), event(caller, 'vault.unset_default', first)]);
    await expectError(choose((await vault.vault(makeCaller())).id), 'not_found');
    expect(await eventsOf(caller, 5)).toEqual([]);
  });
});

test("an end user's vaults are the 50 oldest, as many as the token of a run can name", async () => {
  const caller = makeCaller();
  const theirs = (await Promise.all(Array.from({ length: 52 }, () => vault.vault(caller, { metadata: { external_user_id: 'u' } })))).map(({ id }) => id);
  await database.$executeRaw`
    UPDATE vault.vaults SET created_at = make_timestamptz(2026, 3, 1, 9, 30, age::int) FROM unnest(${theirs}::uuid[]) WITH ORDINALITY AS given (id, age) WHERE vaults.id = given.id`;
  const { source, vaultIds, warnings } = await vault.vaults.resolve(caller, { externalUserId: 'u', agentVaultIds: [], servers: [] });
  expect({ source, vaultIds, warnings }).toEqual({ source: 'external_user', vaultIds: theirs.slice(0, 50), warnings: ['The end user has more than 50 vaults; only the 50 oldest are used'] });
  await expect(runTokenFor(caller, vaultIds)).resolves.toEqual(expect.any(String));
});

test('each vault is listed with its own credentials', async () => {
  const caller = makeCaller();
  const [one, two, none] = [await withCredentials(caller, 3), await withCredentials(caller, 2), await withCredentials(caller, 0)];
  const { vaults } = await vault.vaults.list(caller, {}, call);
  const listed = Object.fromEntries(vaults.map(({ id, credentials }) => [id, credentials.map(credential => credential.id).sort()]));
  expect(listed).toEqual(Object.fromEntries([one, two, none].map(({ vaultId, ids }) => [vaultId, ids.sort()])));
});
