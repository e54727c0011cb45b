import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { EnvelopeBroken } from './envelope-broken.js';
import type { KeyRing, WrappedKey } from './key-ring.js';

/**
 * Envelope encryption: each record has its own data encryption key (DEK), AES-256-GCM (NIST SP 800-38D); the record keeps
 * the DEK wrapped by a key of the ring. Four columns instead of one blob, so that rotation can find what an old key wrapped.
 */
export interface Envelope extends WrappedKey {
  /** 12 bytes. */
  readonly nonce: Buffer;
  /** Encrypted content, then the 16 byte tag. */
  readonly ciphertext: Buffer;
}

const DEK_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts under a fresh DEK.
 * @param associatedData what the record is (such as team, vault, credential and version): it opens only in the same place.
 */
export const sealEnvelope = async (keyRing: KeyRing, plaintext: Buffer | string, associatedData: string): Promise<Envelope> => {
  const dek = randomBytes(DEK_BYTES);
  try {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', dek, nonce, { authTagLength: TAG_BYTES }).setAAD(contentContext(associatedData));
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    return { ...(await keyRing.wrap(dek)), nonce, ciphertext };
  } finally {
    dek.fill(0);
  }
};

/** @throws EnvelopeBroken when anything at all differs from what was sealed. */
export const openEnvelope = async (keyRing: KeyRing, { keyId, wrappedDek, nonce, ciphertext }: Envelope, associatedData: string): Promise<Buffer> => {
  if (nonce.length !== NONCE_BYTES || ciphertext.length < TAG_BYTES) throw new EnvelopeBroken('record has a wrong length');
  const dek = await keyRing.unwrap({ keyId, wrappedDek });
  try {
    const decipher = createDecipheriv('aes-256-gcm', dek, nonce, { authTagLength: TAG_BYTES }).setAAD(contentContext(associatedData)).setAuthTag(ciphertext.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(ciphertext.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch (error) {
    throw new EnvelopeBroken('content does not match its key, its place or its tag', error);
  } finally {
    dek.fill(0);
  }
};

const contentContext = (associatedData: string): Buffer => Buffer.from(`gatehouse envelope 1|${associatedData}`);
