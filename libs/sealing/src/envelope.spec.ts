import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { EnvelopeBroken } from './envelope-broken.js';
import { openEnvelope, sealEnvelope } from './envelope.js';
import { parseKeyRing, rewrapKey } from './key-ring.js';

const first = `first:${randomBytes(32).toString('base64')}`;
const second = `second:${randomBytes(32).toString('base64')}`;
const ring = parseKeyRing(first);
const rotatedRing = parseKeyRing(`${second},${first}`);
const place = 'team|vault|credential|1';

const flipped = (bytes: Buffer, bit: number): Buffer => {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return changed;
};

describe('envelope', () => {
  test('gives back what was sealed, for any content and any place', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2_000 }), fc.string(), async (content, associatedData) => {
        const envelope = await sealEnvelope(ring, Buffer.from(content), associatedData);
        expect(await openEnvelope(ring, envelope, associatedData)).toEqual(Buffer.from(content));
      }),
      { numRuns: 50 },
    );
  });

  test('has its own key and nonce per record, and no plaintext in any column', async () => {
    const envelopes = await Promise.all(Array.from({ length: 20 }, () => sealEnvelope(ring, 'planted-secret', place)));
    for (const column of ['wrappedDek', 'nonce', 'ciphertext'] as const) expect(new Set(envelopes.map(envelope => envelope[column].toString('hex'))).size).toBe(20);
    for (const { wrappedDek, ciphertext } of envelopes) expect(Buffer.concat([wrappedDek, ciphertext]).includes('planted-secret')).toBe(false);
  });

  test('does not open when any single bit of any column is flipped', async () => {
    const envelope = await sealEnvelope(rotatedRing, 'a secret', place);
    for (const column of ['wrappedDek', 'nonce', 'ciphertext'] as const) {
      for (let bit = 0; bit < envelope[column].length * 8; bit++) {
        await expect(openEnvelope(rotatedRing, { ...envelope, [column]: flipped(envelope[column], bit) }, place)).rejects.toThrow(EnvelopeBroken);
      }
    }
    for (let bit = 0; bit < envelope.keyId.length * 8; bit++) {
      await expect(openEnvelope(rotatedRing, { ...envelope, keyId: flipped(Buffer.from(envelope.keyId), bit).toString('latin1') }, place)).rejects.toThrow(EnvelopeBroken);
    }
  });

  test('does not open when any column is cut short', async () => {
    const envelope = await sealEnvelope(ring, 'a secret', place);
    for (const column of ['wrappedDek', 'nonce', 'ciphertext'] as const) {
      for (let length = 0; length < envelope[column].length; length++) {
        await expect(openEnvelope(ring, { ...envelope, [column]: envelope[column].subarray(0, length) }, place)).rejects.toThrow(EnvelopeBroken);
      }
    }
  });

  test('opens only in its own place, and no column fits another record', async () => {
    const [one, other] = await Promise.all([sealEnvelope(ring, 'one', place), sealEnvelope(ring, 'two', place)]);
    await expect(openEnvelope(ring, one, 'team|vault|credential|2')).rejects.toThrow(EnvelopeBroken);
    for (const swapped of [{ wrappedDek: other.wrappedDek }, { nonce: other.nonce }, { ciphertext: other.ciphertext }]) {
      await expect(openEnvelope(ring, { ...one, ...swapped }, place)).rejects.toThrow(EnvelopeBroken);
    }
  });

  test('a KEK says which it is: the same bytes under another id do not unwrap', async () => {
    const renamed = parseKeyRing(first.replace('first:', 'renamed:'));
    const envelope = await sealEnvelope(ring, 'secret', place);
    await expect(openEnvelope(renamed, { ...envelope, keyId: 'renamed' }, place)).rejects.toThrow(EnvelopeBroken);
  });

  test('with its key wrapped anew it opens without the old KEK', async () => {
    const envelope = await sealEnvelope(ring, 'secret', place);
    const rewrapped = { ...envelope, ...(await rewrapKey(rotatedRing, envelope)) };
    expect(rewrapped.keyId).toBe('second');
    expect((await openEnvelope(parseKeyRing(second), rewrapped, place)).toString()).toBe('secret');
    await expect(openEnvelope(ring, rewrapped, place)).rejects.toThrow(EnvelopeBroken);
  });

  test('a key under the current KEK is left as it is, and one that does not open is told', async () => {
    const envelope = await sealEnvelope(ring, 'secret', place);
    expect(await rewrapKey(ring, envelope)).toBe(envelope);
    await expect(rewrapKey(parseKeyRing(second), envelope)).rejects.toThrow(EnvelopeBroken);
  });
});
