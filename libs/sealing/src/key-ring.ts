import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { EnvelopeBroken } from './envelope-broken.js';

/**
 * Holds the key encryption keys (KEKs) of an installation. A data encryption key goes in and comes out wrapped; the KEKs
 * themselves never leave, so that a key management service can stand behind the same port.
 */
export interface KeyRing {
  /** The KEK that wraps what is new. Others only unwrap. */
  readonly currentId: string;
  /** Wraps a 32 byte key under the current KEK. */
  wrap(dek: Buffer): Promise<WrappedKey>;
  /** @throws EnvelopeBroken when the KEK is unknown or did not wrap this. */
  unwrap(wrapped: WrappedKey): Promise<Buffer>;
}

export interface WrappedKey {
  /** Which key of the ring wrapped it. */
  readonly keyId: string;
  readonly wrappedDek: Buffer;
}

/**
 * The same DEK wrapped by the current KEK; what it encrypts stays as it is. Returns what was given when the current KEK
 * wrapped it already.
 * @throws EnvelopeBroken when it cannot be unwrapped.
 */
export const rewrapKey = async (keyRing: KeyRing, wrapped: WrappedKey): Promise<WrappedKey> => {
  if (wrapped.keyId === keyRing.currentId) return wrapped;
  const dek = await keyRing.unwrap(wrapped);
  try {
    return await keyRing.wrap(dek);
  } finally {
    dek.fill(0);
  }
};

const KEY_ID = /^[A-Za-z0-9_-]{1,64}$/;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A key ring in memory. Wrapped form: `nonce 12 | AES-256-GCM of the key 32 | tag 16`, the KEK's id as associated data. */
class LocalKeyRing implements KeyRing {
  constructor(
    readonly currentId: string,
    private readonly keys: ReadonlyMap<string, Buffer>,
  ) {}

  async wrap(dek: Buffer): Promise<WrappedKey> {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.key(this.currentId), nonce, { authTagLength: TAG_BYTES }).setAAD(wrapContext(this.currentId));
    return { keyId: this.currentId, wrappedDek: Buffer.concat([nonce, cipher.update(dek), cipher.final(), cipher.getAuthTag()]) };
  }

  async unwrap({ keyId, wrappedDek }: WrappedKey): Promise<Buffer> {
    const key = this.key(keyId);
    if (wrappedDek.length !== NONCE_BYTES + KEY_BYTES + TAG_BYTES) throw new EnvelopeBroken('wrapped key has a wrong length');
    try {
      const decipher = createDecipheriv('aes-256-gcm', key, wrappedDek.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
        .setAAD(wrapContext(keyId))
        .setAuthTag(wrappedDek.subarray(-TAG_BYTES));
      return Buffer.concat([decipher.update(wrappedDek.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    } catch (error) {
      throw new EnvelopeBroken('wrapped key does not open', error);
    }
  }

  private key(id: string): Buffer {
    const key = this.keys.get(id);
    if (key === undefined) throw new EnvelopeBroken('key is not on the ring');
    return key;
  }
}

const wrapContext = (keyId: string): Buffer => Buffer.from(`gatehouse wrapped key 1|${keyId}`);

/**
 * Reads `id:base64,id2:base64` (32 bytes each, standard or URL-safe base64). The first is current.
 * @throws TypeError that names the entry by position and id, and never shows key material.
 */
export const parseKeyRing = (text: string): KeyRing => {
  const keys = new Map<string, Buffer>();
  for (const [index, entry] of text.split(',').entries()) {
    const { id, key } = parseEntry(entry.trim(), index + 1);
    if (keys.has(id)) throw new TypeError(`Key ring: the id ${id} is given twice`);
    keys.set(id, key);
  }
  const [currentId = ''] = keys.keys();
  return new LocalKeyRing(currentId, keys);
};

const parseEntry = (entry: string, position: number): { id: string; key: Buffer } => {
  const colon = entry.indexOf(':');
  const id = entry.slice(0, Math.max(colon, 0));
  // A text without a colon may be a bare key, and so may a malformed id: neither is quoted.
  if (!KEY_ID.test(id)) throw new TypeError(`Key ring: entry ${position} must be "id:base64" with an id of 1 to 64 characters of A-Z, a-z, 0-9, "_" and "-"`);
  const encoded = entry.slice(colon + 1);
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded)) throw new TypeError(`Key ring: the key ${id} is not base64`);
  const key = Buffer.from(encoded, 'base64');
  if (key.length !== KEY_BYTES) throw new TypeError(`Key ring: the key ${id} has ${key.length} bytes instead of ${KEY_BYTES}`);
  return { id, key };
};
