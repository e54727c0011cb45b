import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { type CredentialAuth, uuidV4 } from '@gatehouse/contracts';
import { EnvelopeBroken, parseKeyRing, sealEnvelope } from '@gatehouse/sealing';
import { openSecret, sealSecret, type SecretColumns, type SecretPlace } from './credential-secret.js';

const ring = parseKeyRing(`k1:${randomBytes(32).toString('base64')}`);
const auth: CredentialAuth = { type: 'bearer', token: 'planted-secret ü' };
const place: SecretPlace = { teamId: uuidV4(), vaultId: uuidV4(), id: uuidV4(), secretVersion: 1, serverUrlNormalized: 'https://mcp.example.com/mcp' };
const row = { ...place, ...(await sealSecret(ring, place, auth)) };

const flipped = (bytes: Buffer, bit: number): Buffer => {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return changed;
};
const staysShut = (changes: Partial<SecretPlace & SecretColumns>): Promise<void> => expect(openSecret(ring, { ...row, ...changes })).rejects.toThrow(EnvelopeBroken);

describe('a secret', () => {
  test('opens in its own row', async () => {
    expect(await openSecret(ring, row)).toEqual(auth);
  });

  test('does not open when any single bit of its columns is flipped', async () => {
    for (const column of ['wrappedDek', 'nonce', 'ciphertext'] as const) for (let bit = 0; bit < row[column].length * 8; bit++) await staysShut({ [column]: flipped(row[column], bit) });
  });

  test('does not open when any single bit of its place is flipped', async () => {
    for (const field of ['teamId', 'vaultId', 'id', 'serverUrlNormalized'] as const) {
      const text = Buffer.from(place[field]);
      for (let bit = 0; bit < text.length * 8; bit++) await staysShut({ [field]: flipped(text, bit).toString('latin1') });
    }
    for (let bit = 0; bit < 31; bit++) await staysShut({ secretVersion: place.secretVersion ^ (1 << bit) });
  });

  test('does not open in the place of another', async () => {
    const { teamId, vaultId, id } = place;
    for (const moved of [{ teamId: uuidV4() }, { vaultId: uuidV4() }, { id: uuidV4() }, { secretVersion: 2 }, { serverUrlNormalized: 'https://mcp.example.com/' }, { vaultId: id, id: vaultId }, { teamId: vaultId, vaultId: teamId }]) await staysShut(moved);
  });

  test('does not open with a column missing, cut short or of another secret', async () => {
    const other = await sealSecret(ring, place, { type: 'bearer', token: 'another' });
    for (const column of ['wrappedDek', 'nonce', 'ciphertext'] as const) for (const value of [null, row[column].subarray(1), row[column].subarray(0, -1), other[column]]) await staysShut({ [column]: value });
    for (const keyId of [null, 'k2', 'K1']) await staysShut({ keyId });
  });

  test('that opens and is not one is a fault of the program, told without its text', async () => {
    const { teamId, vaultId, id, secretVersion, serverUrlNormalized } = place;
    const envelope = await sealEnvelope(ring, 'planted-secret', [teamId, vaultId, id, secretVersion, serverUrlNormalized].join('|'));
    const error: unknown = await openSecret(ring, { ...place, ...envelope }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(EnvelopeBroken);
    expect((error as Error).cause).toBeUndefined();
    expect((error as Error).stack).not.toContain('planted');
  });
});
