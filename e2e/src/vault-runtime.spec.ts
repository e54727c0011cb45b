import { randomBytes, randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { parseKeyRing, sealEnvelope } from '@gatehouse/sealing';
import { type Database, openDatabase } from '@gatehouse/database';
import { type AppProcess, createOwnDatabase, createSystem, eventually, type System } from '@gatehouse/testing';
import { type Api, apiOf } from './testing/api.js';
import { openReleases, type Releases } from './testing/releases.js';
import { openTokenEndpoint } from './testing/token-endpoint.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}, 60_000);
const later = <T extends { close(): Promise<unknown> }>(thing: T): T => {
  cleanups.push(() => thing.close());
  return thing;
};

interface World {
  readonly system: System;
  readonly vault: AppProcess;
  readonly api: Api;
  readonly releases: Releases;
  readonly teamId: string;
}
const start = async (overrides: Record<string, string> = {}): Promise<World> => {
  const system = later(createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000', RATE_LIMIT_TEAM_BURST: '100000', ...overrides }));
  const { vault, gateway } = await system.startAll();
  const key = await system.createKey();
  return { system, vault, api: apiOf(gateway, key.secret), releases: later(openReleases(system, key)), teamId: key.teamId };
};
const idOf = (body: unknown, name: 'vault' | 'credential'): string => (body as Record<string, { id: string }>)[name]?.id ?? '';
const newVault = async (api: Api): Promise<string> => idOf((await api('POST', '/v1/mcp/vaults', { name: 'V' })).body, 'vault');
const SERVER = 'https://mcp.example.com/mcp';
/** Vaults of 20 credentials each, `token-0` and so on, written as the vault service would write them. */
const fill = async (database: Database, teamId: string, key: string, count: number): Promise<string[]> => {
  const ring = parseKeyRing(key);
  const vaultIds = Array.from({ length: count / 20 }, () => randomUUID());
  await database.$executeRaw`INSERT INTO vault.vaults (id, team_id, name) SELECT unnest(${vaultIds}::uuid[]), ${teamId}::uuid, 'V'`;
  for (let from = 0; from < count; from += 1_000) {
    const rows = await Promise.all(
      Array.from({ length: 1_000 }, async (_, offset) => {
        const [id, vaultId = '', host] = [randomUUID(), vaultIds[Math.floor((from + offset) / 20)], `s${(from + offset) % 20}.example.com`];
        const envelope = await sealEnvelope(ring, JSON.stringify({ type: 'bearer', token: `token-${from + offset}` }), `${teamId}|${vaultId}|${id}|1|https://${host}/`);
        return { id, vaultId, host, ...envelope };
      }),
    );
    await database.$executeRaw`
      INSERT INTO vault.credentials (id, vault_id, team_id, server_url, server_url_normalized, server_url_hash, host_pattern, inject, auth_type, key_id, wrapped_dek, nonce, ciphertext)
      SELECT id, vault_id, ${teamId}::uuid, 'https://' || host || '/', 'https://' || host || '/', sha256(convert_to('https://' || host || '/', 'UTF8')), host,
        '{"kind":"header","header":"Authorization","prefix":"Bearer "}', 'bearer', key_id, wrapped_dek, nonce, ciphertext
      FROM unnest(${rows.map(({ id }) => id)}::uuid[], ${rows.map(({ vaultId }) => vaultId)}::uuid[], ${rows.map(({ host }) => host)}::text[], ${rows.map(({ keyId }) => keyId)}::text[],
        ${rows.map(({ wrappedDek }) => wrappedDek)}::bytea[], ${rows.map(({ nonce }) => nonce)}::bytea[], ${rows.map(({ ciphertext }) => ciphertext)}::bytea[])
        AS row (id, vault_id, host, key_id, wrapped_dek, nonce, ciphertext)`;
  }
  return vaultIds;
};

const expired = { type: 'oauth', accessToken: 'old', refreshToken: 'r0', clientId: 'c', expiresAt: '2020-01-01T00:00:00Z' };

describe('a refresh', () => {
  test('is one call for 200 parallel uses over two vault processes', async () => {
    const { system, api, releases } = await start();
    await system.start('vault');
    const endpoint = later(await openTokenEndpoint(async (_form, count) => ({ body: { access_token: `new-${count}`, refresh_token: `r${count}`, expires_in: 3600 } })));
    const vaultId = await newVault(api);
    await api('POST', `/v1/mcp/vaults/${vaultId}/credentials`, { serverUrl: SERVER, auth: { ...expired, tokenEndpoint: endpoint.url } });
    const answers = await Promise.all(Array.from({ length: 200 }, () => releases.release([vaultId], SERVER)));
    expect(new Set(answers.map(answer => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toMatchObject({ outcome: 'released', secret: 'new-1' });
    expect(endpoint.forms).toHaveLength(1);
    expect(Object.fromEntries(endpoint.forms[0] ?? [])).toEqual({ grant_type: 'refresh_token', refresh_token: 'r0', client_id: 'c' });
  }, 60_000);

  test('whose process is killed when the endpoint has answered is kept, or its failure is told', async () => {
    const { system, vault, api, releases } = await start();
    let answered = (): void => undefined;
    const endpoint = later(
      await openTokenEndpoint((form, count) => {
        // Each refresh token is good once: what is not kept is lost.
        if (form.get('refresh_token') !== `r${count - 1}`) return { status: 400, body: { error: 'invalid_grant' } };
        return { body: { access_token: `new-${count}`, refresh_token: `r${count}`, expires_in: 1 }, sent: () => answered() };
      }),
    );
    const vaultId = await newVault(api);
    const credential = idOf((await api('POST', `/v1/mcp/vaults/${vaultId}/credentials`, { serverUrl: SERVER, auth: { ...expired, tokenEndpoint: endpoint.url } })).body, 'credential');
    const killed = new Promise<void>(resolve => (answered = () => void vault.kill().then(resolve)));
    const lost = releases.release([vaultId], SERVER).catch(() => undefined);
    await killed;
    await lost;
    await system.start('vault');
    // The lease of the dead process runs out first.
    const next = await releases.release([vaultId], SERVER);
    const { body } = await api('GET', `/v1/mcp/vaults/${vaultId}`);
    const { lastError } = (body as { credentials: { id: string; lastError: string | null }[] }).credentials.find(({ id }) => id === credential) ?? { lastError: null };
    if (next.outcome === 'released') expect([next.secret, lastError]).toEqual(['new-2', null]);
    else expect([next.outcome, lastError]).toEqual(['refused', expect.stringContaining('invalid_grant')]);
  }, 90_000);
});

const under = async (database: Database, keyId: string): Promise<number> => {
  const [row] = await database.$queryRaw<{ count: number }[]>`SELECT count(*)::int AS count FROM vault.credentials WHERE key_id = ${keyId}`;
  return row?.count ?? 0;
};

describe('a rotation of keys', () => {
  test('of 10,000 secrets goes on while 50 clients read, and after kill -9', async () => {
    const [oldKey, newKey] = [`old-${randomBytes(4).toString('hex')}:${randomBytes(32).toString('base64')}`, `new-${randomBytes(4).toString('hex')}:${randomBytes(32).toString('base64')}`];
    const [oldId = '', newId = ''] = [oldKey, newKey].map(key => key.split(':')[0]);
    // A rotation is of the whole installation.
    const own = later(await createOwnDatabase());
    const database = openDatabase({ url: own.url, applicationName: 'spec' });
    cleanups.push(() => database.$disconnect());
    const { system, vault, api, releases, teamId } = await start({ DATABASE_URL: own.url, VAULT_KEYS: oldKey, RATE_LIMIT_DEFAULT_BURST: '1000000' });
    const vaultIds = await fill(database, teamId, oldKey, 10_000);

    await vault.stop();
    const first = await system.start('vault', { VAULT_KEYS: `${newKey},${oldKey}` });
    let reads = 0;
    let done = false;
    const readers = Array.from({ length: 50 }, async (_, reader) => {
      for (let index = reader; !done; index = (index * 31 + 7) % 10_000) {
        // While the process is being killed a read may fail; it must never answer something else.
        const answer = await releases.release([vaultIds[Math.floor(index / 20)] ?? ''], `https://s${index % 20}.example.com/`).catch(() => undefined);
        if (answer === undefined) continue;
        expect(answer).toMatchObject({ outcome: 'released', secret: `token-${index}` });
        reads++;
      }
    });
    let second: AppProcess;
    try {
      // It watches until the end, also while the vault service is away.
      const rotating = system.cli('vault', 'rotate-keys');
      await eventually(async () => expect(await under(database, newId)).toBeGreaterThan(1_000), { deadlineMs: 30_000 });
      await first.kill();
      const [before, left] = [await under(database, newId), await under(database, oldId)];
      expect(before + left).toBe(10_000);
      second = await system.start('vault', { VAULT_KEYS: `${newKey},${oldKey}` });
      expect(await rotating).toMatch(/Every secret is under the current key/);
      expect([await under(database, oldId), await under(database, newId)]).toEqual([0, 10_000]);
      expect(await system.cli('vault', 'keys')).toMatch(new RegExp(`${newId} +\\d+ secrets +\\(current\\)`));
    } finally {
      done = true;
    }
    await Promise.all(readers);
    expect(reads).toBeGreaterThan(0);

    // The old key can go: nothing is unreadable without it.
    await second.stop();
    await system.start('vault', { VAULT_KEYS: newKey });
    const listed = await api('GET', '/v1/mcp/vaults');
    expect(listed.status).toBe(200);
    expect(listed.text.match(/"hasToken":true/g)).toHaveLength(10_000);
    expect(listed.text).not.toContain('unreadable');
  }, 180_000);
});
