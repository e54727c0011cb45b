import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SealBroken, generateSealingKeys, open, seal } from './sealed-box.js';

const transportKey = randomBytes(32);
const receiver = generateSealingKeys();
const context = 'vaults.create|auth|request';

describe('sealed box', () => {
  test('gives back what was sealed, for any content and any associated data', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), fc.string(), (content, associatedData) => {
        const box = seal(Buffer.from(content), receiver.publicKey, transportKey, associatedData);
        expect(open(box, receiver, transportKey, associatedData)).toEqual(Buffer.from(content));
      }),
      { numRuns: 50 },
    );
  });

  test('is text that fits in a JSON string or a URL, and never the same twice', () => {
    const boxes = Array.from({ length: 50 }, () => seal('secret', receiver.publicKey, transportKey, context));
    expect(new Set(boxes).size).toBe(50);
    for (const box of boxes) expect(box).toMatch(/^[A-Za-z0-9_-]+$/);
  });

  test('does not open when any single bit of it is flipped', () => {
    const bytes = Buffer.from(seal('a secret', receiver.publicKey, transportKey, context), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(() => open(changed.toString('base64url'), receiver, transportKey, context)).toThrow(SealBroken);
    }
  });

  test('does not open when any character of its text is replaced, cut or added', () => {
    const box = seal('a secret!', receiver.publicKey, transportKey, context);
    const opened = (text: string) => () => open(text, receiver, transportKey, context);
    for (let at = 0; at < box.length; at++) {
      for (const other of ['A', 'B', '-', '+', '/', '=', ' ', '\n']) {
        if (box[at] !== other) expect(opened(box.slice(0, at) + other + box.slice(at + 1))).toThrow(SealBroken);
        expect(opened(box.slice(0, at) + other + box.slice(at))).toThrow(SealBroken);
      }
      expect(opened(box.slice(0, at))).toThrow(SealBroken);
    }
  });

  test('opens only for its receiver, with its transport key and its associated data', () => {
    const box = seal('secret', receiver.publicKey, transportKey, context);
    expect(() => open(box, generateSealingKeys(), transportKey, context)).toThrow(SealBroken);
    expect(() => open(box, receiver, randomBytes(32), context)).toThrow(SealBroken);
    expect(() => open(box, receiver, transportKey, `${context}x`)).toThrow(SealBroken);
  });

  test('a key pair planted by someone without the transport key opens nothing', () => {
    const planted = generateSealingKeys();
    const box = seal('secret', planted.publicKey, transportKey, context);
    expect(() => open(box, planted, Buffer.alloc(32), context)).toThrow(SealBroken);
  });

  test('refuses a point of low order, which would make the shared secret known to everyone', () => {
    const box = Buffer.from(seal('secret', receiver.publicKey, transportKey, context), 'base64url');
    box.fill(0, 1, 33);
    expect(() => open(box.toString('base64url'), receiver, transportKey, context)).toThrow(SealBroken);
    expect(() => seal('secret', Buffer.alloc(32).toString('base64url'), transportKey, context)).toThrow();
  });

  test('refuses keys of a wrong length', () => {
    expect(() => seal('secret', receiver.publicKey, randomBytes(16), context)).toThrow('32 bytes');
    expect(() => seal('secret', 'AAAA', transportKey, context)).toThrow('32 bytes');
    expect(() => open('AAAA', receiver, randomBytes(31), context)).toThrow(TypeError);
  });

  test('its error says nothing about the content', () => {
    const box = seal('planted-secret', receiver.publicKey, transportKey, context);
    try {
      open(box, receiver, transportKey, 'other');
      throw new Error('opened');
    } catch (error) {
      expect(error).toBeInstanceOf(SealBroken);
      expect(String(error)).toBe('SealBroken: Sealed box does not open');
    }
  });
});
