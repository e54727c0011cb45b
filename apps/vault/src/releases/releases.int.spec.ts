import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Caller, type CredentialAuth, parseInput, type ReleasedCredential, unavailable, UpdateCredential, uuidV7 } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { eventually, expectError } from '@gatehouse/testing';
import { RefreshFailed, type RefreshRequest, type TokenAnswer } from '../oauth/token-endpoint.js';
import { call, makeCaller, makeVault, openTestDatabase, runTokenFor, signer, type TestVault } from '../testing/test-vault.js';

let database: Database;
let vault: TestVault;
const opened: TestVault[] = [];
const open = (...options: Parameters<typeof makeVault> extends [Database, ...infer Rest] ? Rest : never): TestVault => {
  const made = makeVault(database, ...options);
  opened.push(made);
  return made;
};
beforeAll(() => {
  database = openTestDatabase();
  vault = open();
});
afterAll(async () => {
  for (const each of opened) await each.close();
  await database.$disconnect();
});

const URL = 'https://mcp.example.com/mcp/tools';
const bearer = (token = 'tok-1'): CredentialAuth => ({ type: 'bearer', token });
const held = async (auth: CredentialAuth, on = vault, body: object = {}): Promise<{ caller: Caller; vaultId: string; id: string; runToken: string }> => {
  const caller = makeCaller();
  const { id: vaultId } = await on.vault(caller);
  const { id } = await on.credential(caller, vaultId, auth, body);
  return { caller, vaultId, id, runToken: await runTokenFor(caller, [vaultId]) };
};
const eventsOf = ({ teamId }: Caller) => database.$queryRaw<{ action: string; detail: string | null; credentialId: string | null; runId: string | null; sandboxId: string | null; keyId: string | null }[]>`
  SELECT action, detail, credential_id AS "credentialId", run_id AS "runId", sandbox_id AS "sandboxId", key_id AS "keyId" FROM vault.audit_events WHERE team_id = ${teamId}::uuid ORDER BY id`;

describe('a release', () => {
  test('gives the secret with its rule, notes its use and leaves a trace without the secret', async () => {
    const { caller, id, runToken } = await held(bearer('planted-secret'), vault, { inject: { kind: 'query', param: 'key' } });
    expect(await vault.releases.release(caller, { runToken, url: URL })).toEqual({ outcome: 'released', credentialId: id, secretVersion: 1, inject: { kind: 'query', param: 'key' }, secret: 'planted-secret' });
    const events = await eventsOf(caller);
    expect(events.map(({ action }) => action)).toEqual(['vault.created', 'credential.created', 'credential.released']);
    expect(events.at(-1)).toMatchObject({ credentialId: id, detail: 'mcp.example.com', sandboxId: 'box-1', keyId: caller.keyId, runId: expect.any(String) });
    expect(JSON.stringify(events)).not.toContain('planted-secret');
    await eventually(async () => expect(await vault.seen(caller, id)).toMatchObject({ lastResolvedAt: expect.any(String), lastError: null }));
  });

  test('of nothing leaves no trace', async () => {
    const { caller, runToken, vaultId } = await held(bearer());
    for (const url of ['https://other.example.com/mcp', 'http://mcp.example.com/mcp', 'https://mcp.example.com:8443/mcp']) {
      expect(await vault.releases.release(caller, { runToken, url })).toEqual({ outcome: 'none' });
    }
    expect(await vault.releases.release(caller, { runToken: await runTokenFor(caller, []), url: URL })).toEqual({ outcome: 'none' });
    await vault.vaults.delete(caller, { vaultId });
    expect(await vault.releases.release(caller, { runToken, url: URL })).toEqual({ outcome: 'none' });
    expect((await eventsOf(caller)).map(({ action }) => action)).not.toContain('credential.released');
  });

  test('needs a token of a run of the team, that lists the vault', async () => {
    const mine = await held(bearer());
    const theirs = await held(bearer());
    const release = (caller: Caller, runToken: string) => vault.releases.release(caller, { runToken, url: URL });
    for (const forged of ['', 'nonsense', `${mine.runToken}x`, mine.runToken.slice(0, -2), theirs.runToken]) {
      expect((await expectError(release(mine.caller, forged), 'unauthorized')).message).toBe('Invalid run token');
    }
    // A run that lists another team's vault finds nothing in it.
    expect(await release(mine.caller, await runTokenFor(mine.caller, [theirs.vaultId]))).toEqual({ outcome: 'none' });
    const ended = await signer.sign({ teamId: mine.caller.teamId, keyId: mine.caller.keyId, sandboxId: 'b', runId: uuidV7(), vaultIds: [mine.vaultId] }, { lifetimeSeconds: 1 });
    await eventually(() => expectError(release(mine.caller, ended), 'unauthorized'), { deadlineMs: 15_000 });
  }, 20_000);

  test('comes from the first vault of the run that has one', async () => {
    const caller = makeCaller();
    const [a, b] = await Promise.all([vault.vault(caller), vault.vault(caller)]);
    await vault.credential(caller, a.id, bearer('of-a'));
    await vault.credential(caller, b.id, bearer('of-b'));
    expect(await vault.releases.release(caller, { runToken: await runTokenFor(caller, [b.id, a.id]), url: URL })).toMatchObject({ secret: 'of-b' });
    expect(await vault.releases.release(caller, { runToken: await runTokenFor(caller, [a.id, b.id]), url: URL })).toMatchObject({ secret: 'of-a' });
  });

  test.each(['key_id', 'wrapped_dek', 'nonce', 'ciphertext', 'server_url_normalized', 'secret_version', 'vault_id'])('of a credential whose %s was changed under it is refused, and shown as unreadable', async column => {
    const { caller, id, vaultId } = await held(bearer('planted-secret'));
    const { id: otherVault } = await vault.vault(caller);
    const changes: Record<string, string> = {
      key_id: `key_id = 'k9'`,
      wrapped_dek: 'wrapped_dek = set_bit(wrapped_dek, 100, 1 - get_bit(wrapped_dek, 100))',
      nonce: 'nonce = set_bit(nonce, 5, 1 - get_bit(nonce, 5))',
      ciphertext: 'ciphertext = set_bit(ciphertext, 17, 1 - get_bit(ciphertext, 17))',
      server_url_normalized: `server_url_normalized = 'https://mcp.example.com/mcp/evil'`,
      secret_version: 'secret_version = 2',
      vault_id: `vault_id = '${otherVault}'`,
    };
    await database.$executeRawUnsafe(`UPDATE vault.credentials SET ${changes[column]} WHERE id = '${id}'`);
    const answer = await vault.releases.release(caller, { runToken: await runTokenFor(caller, [vaultId, otherVault]), url: URL });
    expect(answer).toEqual({ outcome: 'refused', credentialId: id, reason: 'The secret of the credential cannot be read' });
    expect(await vault.seen(caller, id)).toMatchObject({ auth: { type: 'bearer', unreadable: true }, status: 'active' });
    expect((await eventsOf(caller)).at(-1)).toMatchObject({ action: 'credential.refused', credentialId: id });
  });

  test('fails when it cannot be written down', async () => {
    const { caller, runToken } = await held(bearer());
    const apart = open({ keyRing: vault.keyRing, record: () => Promise.reject(unavailable()) });
    expect((await expectError(apart.releases.release(caller, { runToken, url: URL }), 'internal_error')).status).toBe(503);
  });

  test('of what no header can carry is refused where it would go into one', async () => {
    const { caller, id, runToken } = await held(bearer('tök🙂'));
    expect(await vault.releases.release(caller, { runToken, url: URL })).toEqual({ outcome: 'refused', credentialId: id, reason: 'The secret has characters that no header can carry' });
    const other = await held(bearer('tök🙂'), vault, { inject: { kind: 'query', param: 'key' } });
    expect(await vault.releases.release(other.caller, { runToken: other.runToken, url: URL })).toMatchObject({ outcome: 'released', secret: 'tök🙂' });
  });

  test('by the hundred at once: each is on record, uses are written down together', async () => {
    const { caller, id, runToken } = await held(bearer());
    const before = (await eventsOf(caller)).length;
    const answers = await Promise.all(Array.from({ length: 300 }, () => vault.releases.release(caller, { runToken, url: URL })));
    expect(answers.every(({ outcome }) => outcome === 'released')).toBe(true);
    expect((await eventsOf(caller)).length - before).toBe(300);
    await eventually(async () => expect((await vault.seen(caller, id)).lastResolvedAt).not.toBeNull());
    // One when the first came, one a second later for all others.
    expect(vault.touchWrites.filter(ids => ids.includes(id)).length).toBeLessThanOrEqual(3);
  });
});

describe('a report', () => {
  test('of 401 or 403 is shown until the credential works again', async () => {
    const { caller, id, runToken } = await held(bearer());
    await vault.releases.report(caller, { runToken, credentialId: id, secretVersion: 1, status: 403 });
    await eventually(async () => expect(await vault.seen(caller, id)).toMatchObject({ lastError: 'The server answered 403' }));
    await vault.releases.report(caller, { runToken, credentialId: id, secretVersion: 1, status: 200 });
    await vault.releases.release(caller, { runToken, url: URL });
    await eventually(async () => expect(await vault.seen(caller, id)).toMatchObject({ lastError: null }));
    await vault.releases.report(caller, { runToken, credentialId: id, secretVersion: 1, status: 401 });
    await eventually(async () => expect(await vault.seen(caller, id)).toMatchObject({ lastError: 'The server answered 401' }));
  });

  test('about an older secret, or told after a change, says nothing of the present one', async () => {
    const { caller, id, runToken, vaultId } = await held(bearer());
    await vault.releases.report(caller, { runToken, credentialId: id, secretVersion: 1, status: 401 });
    await vault.credentials.update(caller, parseInput(UpdateCredential, { vaultId, credentialId: id, auth: bearer('tok-2') }), call);
    await vault.releases.release(caller, { runToken, url: URL });
    await eventually(async () => expect(await vault.seen(caller, id)).toMatchObject({ lastResolvedAt: expect.any(String), lastError: null }));
    await vault.releases.report(caller, { runToken, credentialId: id, secretVersion: 1, status: 401 });
    const other = await held(bearer());
    await vault.releases.report(other.caller, { runToken: other.runToken, credentialId: other.id, secretVersion: 1, status: 401 });
    await eventually(async () => expect(await vault.seen(other.caller, other.id)).toMatchObject({ lastError: 'The server answered 401' }));
    expect(await vault.seen(caller, id)).toMatchObject({ lastError: null });
  });

  test('about a credential that is not of the run changes nothing', async () => {
    const [mine, theirs] = await Promise.all([held(bearer()), held(bearer())]);
    await vault.releases.report(mine.caller, { runToken: mine.runToken, credentialId: theirs.id, secretVersion: 1, status: 401 });
    await vault.releases.report(mine.caller, { runToken: mine.runToken, credentialId: mine.id, secretVersion: 1, status: 401 });
    await eventually(async () => expect(await vault.seen(mine.caller, mine.id)).toMatchObject({ lastError: 'The server answered 401' }));
    expect(await vault.seen(theirs.caller, theirs.id)).toMatchObject({ lastError: null });
  });
});

describe('a refresh', () => {
  const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const oauth = (changes: object = {}): CredentialAuth => ({ type: 'oauth', accessToken: 'old', refreshToken: 'r1', clientId: 'c', tokenEndpoint: 'https://auth.example.com/token', expiresAt: inMs(-1_000), ...changes });
  /** Answers with numbered tokens, or as told. */
  const endpoint = (answer: (count: number, request: RefreshRequest) => Promise<TokenAnswer> | TokenAnswer = count => ({ accessToken: `new-${count}`, refreshToken: `r${count + 1}`, expiresAt: inMs(3_600_000) })) => {
    const requests: RefreshRequest[] = [];
    return { requests, refresh: async (request: RefreshRequest): Promise<TokenAnswer> => answer(requests.push(request), request) };
  };
  const release = (on: TestVault, { caller, runToken }: { caller: Caller; runToken: string }): Promise<ReleasedCredential> => on.releases.release(caller, { runToken, url: URL });

  test('of one expiring token is one call, for hundreds of uses in two processes', async () => {
    const { requests, refresh } = endpoint();
    const first = open({ refresh });
    const second = open({ refresh, keyRing: first.keyRing });
    const one = await held(oauth(), first);
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => release(index % 2 === 0 ? first : second, one)));
    expect(answers.map(answer => (answer.outcome === 'released' ? answer.secret : answer.outcome))).toEqual(Array.from({ length: 200 }, () => 'new-1'));
    expect(requests).toEqual([{ tokenEndpoint: 'https://auth.example.com/token', tokenEndpointAuth: 'none', clientId: 'c', refreshToken: 'r1' }]);
    expect(await first.seen(one.caller, one.id)).toMatchObject({ lastError: null, auth: { hasRefreshToken: true, expiresAt: expect.any(String) } });
  }, 20_000);

  test('happens within a minute of the end, not before, and not without a refresh set', async () => {
    const { requests, refresh } = endpoint();
    const on = open({ refresh });
    expect(await release(on, await held(oauth({ expiresAt: inMs(70_000) }), on))).toMatchObject({ secret: 'old' });
    expect(await release(on, await held(oauth({ expiresAt: undefined }), on))).toMatchObject({ secret: 'old' });
    expect(await release(on, await held({ type: 'oauth', accessToken: 'alone', expiresAt: inMs(-1) }, on))).toMatchObject({ secret: 'alone' });
    expect(await release(on, await held({ type: 'oauth', clientId: 'only' }, on))).toMatchObject({ outcome: 'refused', reason: 'The credential holds no access token' });
    expect(requests).toEqual([]);
    expect(await release(on, await held(oauth({ expiresAt: inMs(50_000) }), on))).toMatchObject({ secret: 'new-1' });
    expect(await release(on, await held(oauth({ accessToken: undefined, expiresAt: undefined }), on))).toMatchObject({ secret: 'new-2' });
  });

  test('keeps a rotated refresh token and uses it next time', async () => {
    const { requests, refresh } = endpoint(count => ({ accessToken: `new-${count}`, ...(count === 1 && { refreshToken: 'rotated' }), expiresAt: inMs(-1) }));
    const on = open({ refresh });
    const one = await held(oauth({ scope: 's', resource: 'r' }), on);
    for (const token of ['new-1', 'new-2', 'new-3']) expect(await release(on, one)).toMatchObject({ secret: token });
    expect(requests.map(({ refreshToken }) => refreshToken)).toEqual(['r1', 'rotated', 'rotated']);
    expect(requests[2]).toMatchObject({ scope: 's', resource: 'r' });
    expect((await eventsOf(one.caller)).filter(({ action }) => action === 'credential.refreshed')).toHaveLength(3);
  });

  test('that fails is told; the old token serves while it lives, then uses are refused, and the endpoint is left alone', async () => {
    const { requests, refresh } = endpoint(() => Promise.reject(new RefreshFailed('The token endpoint answered 400 invalid_grant', { permanent: true })));
    const on = open({ refresh });
    const living = await held(oauth({ expiresAt: inMs(30_000) }), on);
    for (let use = 0; use < 5; use++) expect(await release(on, living)).toMatchObject({ outcome: 'released', secret: 'old' });
    expect(requests).toHaveLength(1);
    await eventually(async () => expect(await on.seen(living.caller, living.id)).toMatchObject({ lastError: 'The token endpoint answered 400 invalid_grant', lastResolvedAt: expect.any(String) }));

    const ended = await held(oauth(), on);
    for (let use = 0; use < 5; use++) expect(await release(on, ended)).toMatchObject({ outcome: 'refused', reason: 'The token endpoint answered 400 invalid_grant' });
    expect(requests).toHaveLength(2);

    // New tokens owe nothing to the old ones' failure.
    await on.credentials.update(ended.caller, { vaultId: ended.vaultId, credentialId: ended.id, auth: bearer('fresh') }, call);
    expect(await on.seen(ended.caller, ended.id)).toMatchObject({ lastError: null });
    expect(await release(on, ended)).toMatchObject({ secret: 'fresh' });
  });

  test('does not undo a change that was made meanwhile, and goes on with that', async () => {
    const { refresh } = endpoint(async () => {
      await on.credentials.update(one.caller, parseInput(UpdateCredential, { vaultId: one.vaultId, credentialId: one.id, auth: bearer('changed') }), call);
      return { accessToken: 'late' };
    });
    const on: TestVault = open({ refresh });
    const one: Awaited<ReturnType<typeof held>> = await held(oauth(), on);
    expect(await release(on, one)).toMatchObject({ outcome: 'released', secret: 'changed', secretVersion: 2 });
  });

  test('of new tokens given meanwhile is shared by those who waited for the old ones and those who come now', async () => {
    let letGo = (): void => undefined;
    const gate = new Promise<void>(resolve => (letGo = resolve));
    const { requests, refresh } = endpoint(async (count, { refreshToken }) => {
      if (refreshToken === 'r1') await gate;
      return { accessToken: `for-${refreshToken}-${count}`, refreshToken: `next-${count}`, expiresAt: inMs(3_600_000) };
    });
    const on = open({ refresh });
    const one = await held(oauth(), on);
    const before = Array.from({ length: 5 }, () => release(on, one));
    await eventually(() => expect(requests).toHaveLength(1));
    await on.credentials.update(one.caller, parseInput(UpdateCredential, { vaultId: one.vaultId, credentialId: one.id, auth: oauth({ refreshToken: 'q1' }) }), call);
    const after = Array.from({ length: 5 }, () => release(on, one));
    letGo();
    for (const answer of await Promise.all([...before, ...after])) expect(answer).toMatchObject({ outcome: 'released', secret: 'for-q1-2' });
    expect(requests.map(({ refreshToken }) => refreshToken)).toEqual(['r1', 'q1']);
  });

  test('is one of at most fifty of a team at once, beside those of others', async () => {
    let letGo = (): void => undefined;
    const gate = new Promise<void>(resolve => (letGo = resolve));
    const { requests, refresh } = endpoint(async count => {
      if (count <= 50) await gate;
      return { accessToken: `new-${count}`, expiresAt: inMs(3_600_000) };
    });
    const on = open({ refresh });
    const caller = makeCaller();
    const uses: Promise<ReleasedCredential>[] = [];
    for (let vaults = 0; vaults < 3; vaults++) {
      const { id: vaultId } = await on.vault(caller);
      const runToken = await runTokenFor(caller, [vaultId]);
      for (let index = 0; index < 20; index++) await on.credential(caller, vaultId, oauth(), { serverUrl: `https://s${index}.example.com/` });
      for (let index = 0; index < 20; index++) uses.push(on.releases.release(caller, { runToken, url: `https://s${index}.example.com/` }));
    }
    await eventually(() => expect(requests).toHaveLength(50));
    expect(await release(on, await held(oauth(), on))).toMatchObject({ secret: 'new-51' });
    letGo();
    const outcomes = (await Promise.all(uses)).map(answer => (answer.outcome === 'refused' ? answer.reason : answer.outcome));
    expect(outcomes.filter(outcome => outcome === 'released')).toHaveLength(50);
    expect(outcomes.filter(outcome => outcome === 'Too many tokens are being refreshed')).toHaveLength(10);
  }, 20_000);

  test('of tokens that live less than a minute is still one call, in four processes', async () => {
    const { requests, refresh } = endpoint(async count => {
      await gate;
      return { accessToken: `short-${count}`, expiresAt: inMs(30_000) };
    });
    const processes = [open({ refresh })];
    while (processes.length < 4) processes.push(open({ refresh, keyRing: processes[0]?.keyRing ?? vault.keyRing }));
    let letGo = (): void => undefined;
    const gate = new Promise<void>(resolve => (letGo = resolve));
    const one = await held(oauth(), processes[0]);
    const answers = Array.from({ length: 40 }, (_, index) => release(processes[index % 4] ?? vault, one));
    await eventually(() => expect(requests).toHaveLength(1));
    letGo();
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ secret: 'short-1' });
    // Who was slow to begin, and reads what the others waited for, belongs to them.
    for (const on of processes) expect(await release(on, one)).toMatchObject({ secret: 'short-1' });
    expect(requests).toHaveLength(1);
  });

  test('of a token that is new but has ended is another call', async () => {
    const { requests, refresh } = endpoint(count => Promise.resolve({ accessToken: `gone-${count}`, expiresAt: inMs(-1_000) }));
    const on = open({ refresh });
    const one = await held(oauth(), on);
    for (const call of [1, 2]) expect(await release(on, one)).toMatchObject({ outcome: 'released', secret: `gone-${call}` });
    expect(requests).toHaveLength(2);
  });

  test('is kept although another process took the lease over, and although the answer of the database was lost', async () => {
    const { requests, refresh } = endpoint(async count => {
      await database.$executeRaw`UPDATE vault.credentials SET refresh_owner = gen_random_uuid() WHERE id = ${one.id}::uuid`;
      return { accessToken: `new-${count}`, refreshToken: `r${count}`, expiresAt: inMs(3_600_000) };
    });
    const on: TestVault = open({ refresh, losingAnswers: 6 });
    const one: Awaited<ReturnType<typeof held>> = await held(oauth(), on);
    expect(await release(on, one)).toMatchObject({ outcome: 'released', secret: 'new-1' });
    expect(await release(on, one)).toMatchObject({ outcome: 'released', secret: 'new-1', secretVersion: 2 });
    expect(requests).toHaveLength(1);
  });

  test('ends with its process: one under way is kept, those that wait are let go', async () => {
    let letGo = (): void => undefined;
    const gate = new Promise<void>(resolve => (letGo = resolve));
    const { requests, refresh } = endpoint(async () => {
      await gate;
      return { accessToken: 'kept', refreshToken: 'rotated', expiresAt: inMs(3_600_000) };
    });
    const asking = open({ refresh });
    const other = open({ refresh, keyRing: asking.keyRing });
    const one = await held(oauth(), asking);
    const first = release(asking, one);
    await eventually(() => expect(requests).toHaveLength(1));
    const second = release(other, one);
    await other.close();
    expect(await second).toMatchObject({ outcome: 'refused', reason: 'The token was not refreshed in time' });
    const closed = asking.close();
    letGo();
    await closed;
    expect(await first).toMatchObject({ secret: 'kept' });
    expect(await release(open({ keyRing: asking.keyRing }), one)).toMatchObject({ secret: 'kept' });
  });

  test('of a process that died is taken over when its lease is over', async () => {
    const { requests, refresh } = endpoint();
    const on = open({ refresh });
    const one = await held(oauth(), on);
    await database.$executeRaw`UPDATE vault.credentials SET refresh_owner = gen_random_uuid(), refresh_until = clock_timestamp() + interval '1 second' WHERE id = ${one.id}::uuid`;
    expect(await release(on, one)).toMatchObject({ secret: 'new-1' });
    expect(requests).toHaveLength(1);
  });
});
