import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';

const VERSION = 1;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + SALT_BYTES + NONCE_BYTES;
const SENDERS_MAX = 10_000;

/**
 * What makes the bus ours: messages are encrypted and authenticated with a key that only the processes of an installation
 * have, each bound to its channel. Who can merely read and write the broker can neither read nor make nor redirect one.
 *
 * AES-256-GCM (NIST SP 800-38D). Every sender derives a key of its own (HKDF, RFC 5869, from the transport key and a salt of
 * this boot) and counts its nonces, so that none is used twice however many messages there are.
 * Message: version (1), salt (16), nonce (12), tag (16), ciphertext.
 */
export class BusCipher {
  private readonly salt = randomBytes(SALT_BYTES);
  private readonly key: Buffer;
  private readonly keys = new LRUCache<string, Buffer>({ max: SENDERS_MAX });
  private sent = 0n;

  /** @param transportKey 32 bytes */
  constructor(private readonly transportKey: Buffer) {
    this.key = derive(transportKey, this.salt);
  }

  encrypt(channel: string, message: Buffer): Buffer {
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeBigUInt64BE((this.sent += 1n), NONCE_BYTES - 8);
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce);
    cipher.setAAD(Buffer.from(channel));
    const ciphertext = cipher.update(message);
    // GCM holds nothing back, so this yields no bytes, only the tag.
    cipher.final();
    return Buffer.concat([Buffer.of(VERSION), this.salt, nonce, cipher.getAuthTag(), ciphertext]);
  }

  /** Null when it is not a message of this installation for this channel. */
  decrypt(channel: string, bytes: Buffer): Buffer | null {
    if (bytes.length < HEADER_BYTES + TAG_BYTES || bytes[0] !== VERSION) return null;
    const salt = bytes.subarray(1, 1 + SALT_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', this.keyOf(salt), bytes.subarray(1 + SALT_BYTES, HEADER_BYTES));
    decipher.setAAD(Buffer.from(channel));
    decipher.setAuthTag(bytes.subarray(HEADER_BYTES, HEADER_BYTES + TAG_BYTES));
    try {
      const message = decipher.update(bytes.subarray(HEADER_BYTES + TAG_BYTES));
      decipher.final();
      return message;
    } catch (_notAuthentic) {
      return null;
    }
  }

  private keyOf(salt: Buffer): Buffer {
    const name = salt.toString('latin1');
    const known = this.keys.get(name);
    if (known !== undefined) return known;
    const key = derive(this.transportKey, salt);
    this.keys.set(name, key);
    return key;
  }
}

const derive = (transportKey: Buffer, salt: Buffer): Buffer => Buffer.from(hkdfSync('sha256', transportKey, salt, 'gatehouse rpc bus 1', 32));
