import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { uuidV4 } from '@gatehouse/contracts';
import { createLogger } from '@gatehouse/platform';
import { type KeyRing, parseKeyRing } from '@gatehouse/sealing';
import { sealSecret } from '../secrets/credential-secret.js';
import type { CredentialRow } from './credential-row.js';
import { CredentialViews } from './credential-view.js';

const ring = parseKeyRing(`k1:${randomBytes(32).toString('base64')}`);
const other = parseKeyRing(`k2:${randomBytes(32).toString('base64')}`);

const place = { id: uuidV4(), vaultId: uuidV4(), teamId: uuidV4(), serverUrlNormalized: 'https://mcp.example.com/mcp', secretVersion: 1 };
const row: CredentialRow = {
  ...place,
  ...(await sealSecret(ring, place, { type: 'bearer', token: 'planted-secret' })),
  name: null,
  serverUrl: 'https://mcp.example.com/mcp',
  hostPattern: 'mcp.example.com',
  inject: { kind: 'basic' },
  authType: 'bearer',
  metadata: {},
  status: 'active',
  lastError: null,
  lastResolvedAt: null,
  createdAt: new Date(0),
  updatedAt: new Date(0),
  archivedAt: null,
};

/** Views under a ring, and the lines they log. */
const viewsUnder = (keyRing: KeyRing): { views: CredentialViews; lines: string[] } => {
  const lines: string[] = [];
  const logger = createLogger({ service: 'vault', instance: 'spec', level: 'trace', destination: { write: (line: string) => void lines.push(line) } });
  return { views: new CredentialViews(keyRing, logger), lines };
};

describe('a credential is shown', () => {
  test('with what there is of its secret', async () => {
    const { views, lines } = viewsUnder(ring);
    expect(await views.of(row)).toMatchObject({ id: row.id, auth: { type: 'bearer', hasToken: true } });
    expect(lines).toEqual([]);
  });

  test('as unreadable when its secret does not open, and the log says which key would have opened it', async () => {
    const { views, lines } = viewsUnder(other);
    expect(await views.of(row)).toMatchObject({ id: row.id, auth: { type: 'bearer', unreadable: true } });
    expect(lines.map(line => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({ msg: 'the secret of a credential cannot be read', team: row.teamId, vault: row.vaultId, credential: row.id, kek: 'k1', err: expect.objectContaining({ type: 'EnvelopeBroken' }) }),
    ]);
  });

  test('without a look at what archiving has destroyed', async () => {
    const { views, lines } = viewsUnder(other);
    const destroyed = { keyId: null, wrappedDek: null, nonce: null, ciphertext: null };
    expect(await views.of({ ...row, ...destroyed, status: 'archived', archivedAt: new Date(0) })).toMatchObject({ auth: { type: 'bearer', archived: true } });
    expect(lines).toEqual([]);
  });

  test('not at all when something else went wrong: that says nothing of the secret', async () => {
    const away = new Error('the key management service does not answer');
    const { views, lines } = viewsUnder({ currentId: 'k1', wrap: dek => ring.wrap(dek), unwrap: () => Promise.reject(away) });
    await expect(views.of(row)).rejects.toBe(away);
    expect(lines).toEqual([]);
  });
});
