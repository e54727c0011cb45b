import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from './crc32.js';

/** `gate_sk_` + 43 base62 characters (256 bits of randomness) + 6 base62 characters of CRC-32 over the 51 before. */
export const API_KEY_PREFIX = 'gate_sk_';
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;
const SHAPE = /^gate_sk_[0-9A-Za-z]{49}$/;
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** What a presented key must have right before it is worth a look-up: it keeps typing errors and noise away from the database. */
export const isWellFormedApiKey = (text: string): boolean =>
  SHAPE.test(text) && checksum(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);

/** A new key. Shown once; only its hash is kept. */
export const generateApiKey = (): string => {
  const body = `${API_KEY_PREFIX}${randomBase62(SECRET_LENGTH)}`;
  return body + checksum(body);
};

/** sha256 of the whole text. A key has 256 bits of randomness, so a slow hash would protect nothing. */
export const hashApiKey = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The parts of a key that people may see. */
export const apiKeyHint = (text: string): { prefix: string; last4: string } => ({ prefix: text.slice(0, 12), last4: text.slice(-4) });

export const checksum = (text: string): string => toBase62(crc32(Buffer.from(text, 'ascii'))).padStart(CHECKSUM_LENGTH, '0');

const toBase62 = (value: number): string => {
  let rest = value;
  let text = '';
  do {
    text = DIGITS.charAt(rest % 62) + text;
    rest = Math.floor(rest / 62);
  } while (rest > 0);
  return text;
};

/** Bytes from 248 up are thrown away: they would make the first eight digits likelier than the others. */
const randomBase62 = (length: number): string => {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) if (byte < 248 && text.length < length) text += DIGITS.charAt(byte % 62);
  }
  return text;
};
