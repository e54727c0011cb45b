import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseRunTokenPrivateKey, parseRunTokenPublicKeys, rawRunTokenPublicKey, runTokenKeyId } from './run-token-keys.js';

const pair = generateKeyPairSync('ed25519');
const { d: seed = '', x: point = '' } = pair.privateKey.export({ format: 'jwk' });
const material = Buffer.from(point, 'base64url').toString('base64');

describe('keys of run tokens', () => {
  test('a seed is the key it was taken from', () => {
    const privateKey = parseRunTokenPrivateKey(` ${Buffer.from(seed, 'base64url').toString('base64')}\n`);
    expect(rawRunTokenPublicKey(privateKey).toString('base64url')).toBe(point);
    expect(verify(null, Buffer.from('text'), pair.publicKey, sign(null, Buffer.from('text'), privateKey))).toBe(true);
  });

  test('the first test vector of RFC 8032 comes out', () => {
    const privateKey = parseRunTokenPrivateKey(Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex').toString('base64'));
    expect(rawRunTokenPublicKey(privateKey).toString('hex')).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  });

  test('public keys are found by the start of their hash', () => {
    const other = randomBytes(32);
    const keys = parseRunTokenPublicKeys(`${material}, ${other.toString('base64url')}`);
    expect([...keys.keys()]).toEqual([runTokenKeyId(Buffer.from(point, 'base64url')), runTokenKeyId(other)]);
    for (const kid of keys.keys()) expect(kid).toMatch(/^[0-9a-f]{16}$/);
  });

  const broken = [
    ['nothing', ''],
    ['31 bytes', Buffer.from(material, 'base64').subarray(1).toString('base64')],
    ['33 bytes', Buffer.concat([Buffer.from(material, 'base64'), Buffer.of(1)]).toString('base64')],
    ['what is not base64', `${material.slice(0, 20)}!${material.slice(21)}`],
    ['a PEM', pair.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()],
  ] as const;
  const refusal = (parse: () => unknown): string => {
    try {
      parse();
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      return String(error);
    }
    throw new Error('accepted');
  };
  const expectNoMaterial = (message: string): void => {
    for (const part of [material.slice(2, 12), material.slice(-12), 'MC4CAQ']) expect(message).not.toContain(part);
  };

  test.each(broken)('a private key cannot be %s, and the error shows none of it', (_case, text) => {
    const message = refusal(() => parseRunTokenPrivateKey(text));
    expect(message).toMatch(/^TypeError: Run token private key: it /);
    expectNoMaterial(message);
  });

  test.each([...broken, ['one key twice', `${material},${material}`], ['a key and a comma', `${material},`]])('public keys cannot be %s, and the error shows none of it', (_case, text) => {
    const message = refusal(() => parseRunTokenPublicKeys(text));
    expect(message).toMatch(/^TypeError: Run token public keys: entry [12] /);
    expectNoMaterial(message);
  });
});
