import { type KeyObject, createCipheriv, createDecipheriv, createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync } from 'node:crypto';

/**
 * Sealed boxes: anyone who has the installation's transport key can seal to a public key, only the holder of the private
 * key can open. One box: an ephemeral X25519 key pair (RFC 7748), HKDF-SHA256 (RFC 5869) over the shared secret with the
 * transport key as salt, AES-256-GCM (NIST SP 800-38D). Like HPKE's PSK mode (RFC 9180) in spirit, not in format.
 *
 * Text form: base64url of `version 1 | ephemeral public key 32 | ciphertext | tag 16`.
 */
const VERSION = 1;
const PUBLIC_KEY_BYTES = 32;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + PUBLIC_KEY_BYTES;
const TRANSPORT_KEY_BYTES = 32;

export interface SealingKeys {
  /** 32 raw bytes in base64url: may be published. */
  readonly publicKey: string;
  readonly privateKey: KeyObject;
}

/** The box was not made for this key, this transport key or this associated data, or was changed on its way. Never says which. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken';

  constructor(cause?: unknown) {
    super('Sealed box does not open', { cause });
  }
}

/** A fresh X25519 key pair. */
export const generateSealingKeys = (): SealingKeys => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  return { publicKey: rawPublicKey(publicKey), privateKey };
};

/**
 * Seals to a public key.
 * @param transportKey 32 bytes shared by the processes of an installation. Without it a public key planted by a stranger is useless to him.
 * @param associatedData what the box is for; it opens only with the same.
 * @throws TypeError when the public key or the transport key has a wrong form.
 */
export const seal = (plaintext: Buffer | string, toPublicKey: string, transportKey: Buffer, associatedData: string): string => {
  const receiver = importPublicKey(Buffer.from(toPublicKey, 'base64url'));
  const ephemeral = generateSealingKeys();
  const ephemeralPublic = Buffer.from(ephemeral.publicKey, 'base64url');
  const { key, nonce } = deriveKey(ephemeral.privateKey, receiver, ephemeralPublic, Buffer.from(toPublicKey, 'base64url'), transportKey);

  const header = Buffer.concat([Buffer.of(VERSION), ephemeralPublic]);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.concat([header, Buffer.from(associatedData)]));
  return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]).toString('base64url');
};

/**
 * Opens a box made by {@link seal} for the holder of `keys`.
 * @throws SealBroken when anything at all differs from what was sealed.
 */
export const open = (box: string, keys: SealingKeys, transportKey: Buffer, associatedData: string): Buffer => {
  requireTransportKey(transportKey);
  try {
    const bytes = Buffer.from(box, 'base64url');
    // Node's decoder skips what it does not know and ignores spare bits, so only the canonical text of a box is a box.
    if (bytes.toString('base64url') !== box || bytes.length < HEADER_BYTES + TAG_BYTES || bytes[0] !== VERSION) throw new SealBroken();
    const header = bytes.subarray(0, HEADER_BYTES);
    const ephemeralPublic = bytes.subarray(1, HEADER_BYTES);
    const { key, nonce } = deriveKey(keys.privateKey, importPublicKey(ephemeralPublic), ephemeralPublic, Buffer.from(keys.publicKey, 'base64url'), transportKey);

    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.concat([header, Buffer.from(associatedData)]))
      .setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (error) {
    throw error instanceof SealBroken ? error : new SealBroken(error);
  }
};

/** Each box has its own key, so its nonce may come from the same derivation. Both public keys are bound in (RFC 7748, section 6.1). */
const deriveKey = (privateKey: KeyObject, publicKey: KeyObject, ephemeralPublic: Buffer, receiverPublic: Buffer, transportKey: Buffer): { key: Buffer; nonce: Buffer } => {
  requireTransportKey(transportKey);
  const info = Buffer.concat([Buffer.from('gatehouse sealed box 1'), ephemeralPublic, receiverPublic]);
  const derived = Buffer.from(hkdfSync('sha256', diffieHellman({ privateKey, publicKey }), transportKey, info, 32 + 12));
  return { key: derived.subarray(0, 32), nonce: derived.subarray(32) };
};

const requireTransportKey = (transportKey: Buffer): void => {
  if (transportKey.length !== TRANSPORT_KEY_BYTES) throw new TypeError(`The transport key must have ${TRANSPORT_KEY_BYTES} bytes, not ${transportKey.length}`);
};

const importPublicKey = (raw: Buffer): KeyObject => {
  if (raw.length !== PUBLIC_KEY_BYTES) throw new TypeError(`A sealing public key must have ${PUBLIC_KEY_BYTES} bytes, not ${raw.length}`);
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: raw.toString('base64url') }, format: 'jwk' });
};

const rawPublicKey = (publicKey: KeyObject): string => publicKey.export({ format: 'jwk' }).x ?? '';
