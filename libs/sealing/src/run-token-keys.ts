import { type KeyObject, createHash, createPrivateKey, createPublicKey } from 'node:crypto';

/** The keys run tokens are verified with, by the `kid` a token names. */
export type RunTokenPublicKeys = ReadonlyMap<string, KeyObject>;

const KEY_BYTES = 32;
/** What stands before the seed in the PKCS #8 form of an Ed25519 key (RFC 8410, section 7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * Reads the Ed25519 seed (RFC 8032): 32 bytes in standard or URL-safe base64.
 * @throws TypeError that never shows key material.
 */
export const parseRunTokenPrivateKey = (text: string): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, keyBytes(text.trim(), 'Run token private key: it')]), format: 'der', type: 'pkcs8' });

/**
 * Reads `base64,base64` (32 bytes each, standard or URL-safe base64): all of them are accepted, so that a new key can be made
 * known before the first token is signed with it.
 * @throws TypeError that names the entry by position, and never shows key material.
 */
export const parseRunTokenPublicKeys = (text: string): RunTokenPublicKeys => {
  const keys = new Map<string, KeyObject>();
  for (const [index, entry] of text.split(',').entries()) {
    const where = `Run token public keys: entry ${index + 1}`;
    const raw = keyBytes(entry.trim(), where);
    const kid = runTokenKeyId(raw);
    if (keys.has(kid)) throw new TypeError(`${where} is given twice`);
    keys.set(kid, createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' }));
  }
  return keys;
};

/** The 32 bytes of the public key that belongs to a private one. */
export const rawRunTokenPublicKey = (privateKey: KeyObject): Buffer => Buffer.from(createPublicKey(privateKey).export({ format: 'jwk' }).x ?? '', 'base64url');

/** First 16 hex digits of the SHA-256 of the raw public key. */
export const runTokenKeyId = (rawPublicKey: Buffer): string => createHash('sha256').update(rawPublicKey).digest('hex').slice(0, 16);

const keyBytes = (encoded: string, where: string): Buffer => {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded)) throw new TypeError(`${where} is not base64`);
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.length !== KEY_BYTES) throw new TypeError(`${where} has ${bytes.length} bytes instead of ${KEY_BYTES}`);
  return bytes;
};
