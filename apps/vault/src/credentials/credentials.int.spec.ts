import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Credential, type CredentialAuth, GatehouseError, parseInput, UpdateCredential } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { call, makeCaller, makeVault, openTestDatabase, type TestVault } from '../testing/test-vault.js';

let database: Database;
let one: TestVault;
let two: TestVault;
beforeAll(() => {
  database = openTestDatabase();
  one = makeVault(database);
  two = makeVault(database, { keyRing: one.keyRing });
});
afterAll(async () => {
  await Promise.all([one.close(), two.close()]);
  await database.$disconnect();
});

const bearer: CredentialAuth = { type: 'bearer', token: 't' };
const codes = async (work: Promise<Credential>[]): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const outcome of await Promise.allSettled(work)) {
    const name = outcome.status === 'fulfilled' ? 'created' : outcome.reason instanceof GatehouseError ? outcome.reason.code : String(outcome.reason);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
};
const either = (index: number): TestVault => (index % 2 === 0 ? one : two);

describe('over two processes', () => {
  test('a vault takes exactly 20 of 200 credentials created at once', async () => {
    const caller = makeCaller();
    const { id } = await one.vault(caller);
    const work = Array.from({ length: 200 }, (_, index) => either(index).credential(caller, id, bearer, { serverUrl: `https://s${index}.example.com/` }));
    expect(await codes(work)).toEqual({ created: 20, credential_cap_exceeded: 180 });
  });

  test('one of 50 for one address is created at once, however it is spelled', async () => {
    const caller = makeCaller();
    const { id } = await one.vault(caller);
    const spellings = ['https://mcp.example.com/mcp', 'https://MCP.example.com:443/mcp/', 'https://mcp.example.com/x/../mcp#f'];
    expect(await codes(Array.from({ length: 50 }, (_, index) => either(index).credential(caller, id, bearer, { serverUrl: spellings[index % 3] })))).toEqual({ created: 1, conflict: 49 });
  });

  test('one of 50 vaults chosen at once is the default', async () => {
    const caller = makeCaller();
    const vaults = await Promise.all(Array.from({ length: 50 }, () => one.vault(caller)));
    await Promise.all(vaults.map(({ id }, index) => either(index).vaults.setDefault(caller, { vaultId: id }, call)));
    const { vaults: listed } = await one.vaults.list(caller, {}, call);
    expect(listed.filter(({ isDefault }) => isDefault)).toHaveLength(1);
    expect(listed[0]?.isDefault).toBe(true);
  });

  test('changes of different fields at once are all kept', async () => {
    const caller = makeCaller();
    const { id: vaultId } = await one.vault(caller);
    const { id: credentialId } = await one.credential(caller, vaultId, bearer);
    const changes = [{ name: 'named' }, { metadata: { a: '1' } }, { inject: { kind: 'query', param: 'k' } }, { auth: { type: 'oauth', accessToken: 'x' } }, { serverUrl: 'https://MCP.example.com/mcp/' }];
    await Promise.all(changes.map((change, index) => either(index).credentials.update(caller, parseInput(UpdateCredential, { vaultId, credentialId, ...change }), call)));
    expect(await one.seen(caller, credentialId)).toMatchObject({ name: 'named', metadata: { a: '1' }, inject: { kind: 'query', param: 'k' }, authType: 'oauth', auth: { hasAccessToken: true }, serverUrl: 'https://MCP.example.com/mcp/' });
  });

  test('no credential stays active in a vault that is archived meanwhile, and no secret in its row', async () => {
    const caller = makeCaller();
    const vaults = await Promise.all(Array.from({ length: 10 }, () => one.vault(caller)));
    await Promise.allSettled(
      vaults.flatMap(({ id }) => [
        ...Array.from({ length: 5 }, (_, index) => either(index).credential(caller, id, bearer, { serverUrl: `https://s${index}.example.com/` })),
        two.vaults.delete(caller, { vaultId: id }),
      ]),
    );
    const left = await database.$queryRaw<object[]>`
      SELECT id FROM vault.credentials WHERE team_id = ${caller.teamId}::uuid AND (status = 'active' OR num_nonnulls(key_id, wrapped_dek, nonce, ciphertext) > 0)`;
    expect(left).toEqual([]);
  });
});

test('an address longer than an index entry is one like any other', async () => {
  const caller = makeCaller();
  const { id } = await one.vault(caller);
  const serverUrl = `https://h.example/${'ü'.repeat(2_000)}`;
  expect((await one.credential(caller, id, bearer, { serverUrl })).serverUrlNormalized.length).toBeGreaterThan(10_000);
  expect(await codes([one.credential(caller, id, bearer, { serverUrl })])).toEqual({ conflict: 1 });
});
