import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BusCipher } from './bus-cipher.js';

const transportKey = randomBytes(32);
const [sender, receiver] = [new BusCipher(transportKey), new BusCipher(transportKey)];

describe('messages of the bus', () => {
  test('any bytes come back, at another process of the installation, on its own channel', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.string(), (bytes, channel) => {
        const message = Buffer.from(bytes);
        expect(receiver.decrypt(channel, sender.encrypt(channel, message))).toEqual(message);
      }),
    );
  });

  test('on another channel, with another key, or with any bit changed it is nothing', () => {
    const message = sender.encrypt('channel', Buffer.from('text'));
    expect(receiver.decrypt('other', message)).toBeNull();
    expect(new BusCipher(randomBytes(32)).decrypt('channel', message)).toBeNull();
    for (let bit = 0; bit < message.length * 8; bit++) {
      const changed = Buffer.from(message);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(receiver.decrypt('channel', changed)).toBeNull();
    }
  });

  test('no bytes whatever make it throw', () => {
    fc.assert(fc.property(fc.oneof(fc.uint8Array(), fc.uint8Array({ minLength: 45 }).map(bytes => Buffer.from([1, ...bytes]))), bytes => expect(receiver.decrypt('channel', Buffer.from(bytes))).toBeNull()));
  });

  test('no two messages have the same nonce under the same key', () => {
    const heads = Array.from({ length: 1_000 }, () => sender.encrypt('c', Buffer.alloc(0)).subarray(1, 29).toString('hex'));
    expect(new Set(heads).size).toBe(1_000);
  });
});
