import { describe, expect, test } from '@jest/globals';
import { apiKeyHint, checksum, generateApiKey, isWellFormedApiKey } from './api-key.js';

describe('API keys', () => {
  test('the checksum of the documented vector', () => {
    expect(checksum(`gate_sk_${'0'.repeat(43)}`)).toBe('0F5GOg');
    expect(isWellFormedApiKey(`gate_sk_${'0'.repeat(43)}0F5GOg`)).toBe(true);
    expect(isWellFormedApiKey('gate_sk_EXAMPLEexampleEXAMPLEexampleEXAMPLEexample032eoGa')).toBe(true);
  });

  test('keys are 57 characters, unlike one another, and use every digit evenly', () => {
    const keys = Array.from({ length: 2_000 }, () => generateApiKey());
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.every(key => key.length === 57 && isWellFormedApiKey(key))).toBe(true);
    const counts = new Map<string, number>();
    for (const digit of keys.flatMap(key => [...key.slice(8, 51)])) counts.set(digit, (counts.get(digit) ?? 0) + 1);
    const expected = (2_000 * 43) / 62;
    expect(counts.size).toBe(62);
    // Five standard deviations of a binomial around its mean; a modulo bias would be a fifth.
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected));
  });

  test('one changed character is noticed', () => {
    const key = generateApiKey();
    for (let at = 8; at < key.length; at++) {
      const changed = key.slice(0, at) + (key[at] === 'A' ? 'B' : 'A') + key.slice(at + 1);
      expect(isWellFormedApiKey(changed)).toBe(false);
    }
  });

  test('people may see its beginning and its end', () => {
    expect(apiKeyHint('gate_sk_ABCDefghijkl6789')).toEqual({ prefix: 'gate_sk_ABCD', last4: '6789' });
  });
});
