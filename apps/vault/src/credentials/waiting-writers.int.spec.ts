import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Caller, CreateCredential, type Credential, type CredentialAuth, parseInput, type RpcCall, UpdateCredential } from '@gatehouse/contracts';
import { type Database, inTransaction, openDatabase, type Transaction } from '@gatehouse/database';
import { testServices } from '@gatehouse/testing';
import { call, makeCaller, makeVault, openTestDatabase, type TestVault } from '../testing/test-vault.js';

/** Of the process that is looked at. One of its writers at a time leaves the others free. */
const CONNECTIONS = 3;
const WRITERS = 12;

let elsewhere: Database;
let database: Database;
let vault: TestVault;
beforeAll(() => {
  elsewhere = openTestDatabase();
  database = openDatabase({ url: testServices().databaseUrl, applicationName: 'vault-spec', connectionsMax: CONNECTIONS });
  vault = makeVault(database);
});
afterAll(async () => {
  await vault.close();
  await Promise.all([database.$disconnect(), elsewhere.$disconnect()]);
});

const bearer: CredentialAuth = { type: 'bearer', token: 't' };

/** Runs `work` while another process holds what `lock` locks. */
const whileHeld = async (lock: (transaction: Transaction) => Promise<unknown>, work: () => Promise<void>): Promise<void> =>
  inTransaction(elsewhere, async transaction => {
    await lock(transaction);
    await work();
  });

interface Written {
  readonly caller: Caller;
  readonly vaultId: string;
  readonly credentialId: string;
}
/** What is written, by whom, and which lock writers of the same thing wait at. */
const WRITES: readonly [what: string, lock: (written: Written) => (transaction: Transaction) => Promise<unknown>, write: (written: Written, index: number, given?: RpcCall) => Promise<Credential | void>][] = [
  [
    'new credentials of one vault',
    ({ vaultId }) => transaction => transaction.$queryRaw`SELECT id FROM vault.vaults WHERE id = ${vaultId}::uuid FOR UPDATE`,
    ({ caller, vaultId }, index, given = call) => vault.credentials.create(caller, parseInput(CreateCredential, { vaultId, serverUrl: `https://s${index}.example.com/`, auth: bearer, name: `written ${index}` }), given),
  ],
  [
    'changes of one credential',
    ({ credentialId }) => transaction => transaction.$queryRaw`SELECT id FROM vault.credentials WHERE id = ${credentialId}::uuid FOR UPDATE`,
    ({ caller, vaultId, credentialId }, index, given = call) => vault.credentials.update(caller, parseInput(UpdateCredential, { vaultId, credentialId, name: `written ${index}` }), given),
  ],
  [
    'choices of one default',
    ({ caller: { teamId } }) => transaction => transaction.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${`vault default ${teamId}`}, 0))`,
    ({ caller, vaultId }, _index, given = call) => vault.vaults.setDefault(caller, { vaultId }, given),
  ],
];

describe.each(WRITES)('%s', (_what, lock, write) => {
  const prepared = async (): Promise<Written> => {
    const caller = makeCaller();
    const { id: vaultId } = await vault.vault(caller);
    return { caller, vaultId, credentialId: (await vault.credential(caller, vaultId, bearer)).id };
  };

  test('wait without taking the connections of everything else', async () => {
    const written = await prepared();
    let writing: Promise<unknown> = Promise.resolve();
    await whileHeld(lock(written), async () => {
      writing = Promise.all(Array.from({ length: WRITERS }, (_unused, index) => write(written, index)));
      // Nobody waits for a connection: as many at once as are left.
      for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: CONNECTIONS - 1 }, () => vault.seen(written.caller, written.credentialId)));
    });
    await writing;
  });

  test('are not done once their caller was told to come back', async () => {
    const written = await prepared();
    const aborter = new AbortController();
    const gone = new DOMException('The deadline of the call has passed', 'AbortError');
    let first: Promise<unknown> = Promise.resolve();
    let second: Promise<unknown> = Promise.resolve();
    const before = await database.$queryRaw`SELECT count(*)::int AS count FROM vault.audit_events WHERE team_id = ${written.caller.teamId}::uuid`;
    await whileHeld(lock(written), async () => {
      first = write(written, 1);
      second = expect(write(written, 2, { ...call, signal: aborter.signal })).rejects.toBe(gone);
      aborter.abort(gone);
    });
    await Promise.all([first, second]);
    expect(before).toEqual([{ count: 2 }]);
    // One more event, of the first.
    expect(await database.$queryRaw`SELECT count(*)::int AS count FROM vault.audit_events WHERE team_id = ${written.caller.teamId}::uuid`).toEqual([{ count: 3 }]);
    expect(JSON.stringify(await vault.vaults.list(written.caller, {}, call))).not.toContain('written 2');
  });
});
