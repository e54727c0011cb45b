import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { EnvelopeBroken } from './envelope-broken.js';
import { parseKeyRing } from './key-ring.js';

const key = randomBytes(32);

describe('key ring', () => {
  test('the first key is current, the others still unwrap', async () => {
    const other = randomBytes(32).toString('base64');
    const old = parseKeyRing(`old:${key.toString('base64')}`);
    const ring = parseKeyRing(`new-1:${other}, old:${key.toString('base64url')}`);
    const dek = randomBytes(32);

    expect(ring.currentId).toBe('new-1');
    expect((await ring.wrap(dek)).keyId).toBe('new-1');
    expect(await ring.unwrap(await old.wrap(dek))).toEqual(dek);
    await expect(old.unwrap(await ring.wrap(dek))).rejects.toThrow(EnvelopeBroken);
  });

  const material = key.toString('base64');
  test.each([
    ['nothing', ''],
    ['a key without id', material],
    ['an empty id', `:${material}`],
    ['an id with other characters', `a b:${material}`],
    ['an id of 65 characters', `${'a'.repeat(65)}:${material}`],
    ['a key of 31 bytes', `a:${key.subarray(1).toString('base64')}`],
    ['a key of 33 bytes', `a:${Buffer.concat([key, Buffer.of(1)]).toString('base64')}`],
    ['no key', 'a:'],
    ['a key that is not base64', `a:${material.slice(0, 20)}!${material.slice(21)}`],
    ['an id given twice', `a:${material},a:${material}`],
    ['a comma at the end', `a:${material},`],
  ])('refuses %s without showing key material', (_case, text) => {
    expect(() => parseKeyRing(text)).toThrow(/^Key ring: /);
    try {
      parseKeyRing(text);
    } catch (error) {
      for (const part of [material.slice(0, 12), material.slice(-12)]) expect(String(error)).not.toContain(part);
    }
  });
});
