import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BusCipher } from './bus-cipher.js';

const transportKey = randomBytes(32);
const [sender, receiver] = [new BusCipher(transportKey), new BusCipher(transportKey)];

describe('messages of the bus', () => {
  test('any text comes back, at another process of the installation, on its own channel', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (message, channel) => {
        expect(receiver.decrypt(channel, sender.encrypt(channel, message))).toBe(message);
      }),
    );
  });

  test('on another channel, with another key, or with any bit changed it is nothing', () => {
    const message = sender.encrypt('channel', 'text');
    expect(receiver.decrypt('other', message)).toBeNull();
    expect(new BusCipher(randomBytes(32)).decrypt('channel', message)).toBeNull();
    const bytes = Buffer.from(message, 'base64');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(receiver.decrypt('channel', changed.toString('base64'))).toBeNull();
    }
  });

  test('no text whatever makes it throw', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.base64String({ minLength: 60 })), text => expect(receiver.decrypt('channel', text)).toBeNull()));
  });

  test('no two messages have the same nonce under the same key', () => {
    const heads = Array.from({ length: 1_000 }, () => Buffer.from(sender.encrypt('c', ''), 'base64').subarray(1, 29).toString('hex'));
    expect(new Set(heads).size).toBe(1_000);
  });
});
