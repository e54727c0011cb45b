import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { SealBroken, generateSealingKeys } from '@gatehouse/sealing';
import fc from 'fast-check';
import { Channels } from './channels.js';
import { exceedsBytes, parseCancel, parseReply, parseRequest } from './packets.js';
import { openFields, openResult, sealFields, sealResult } from './sealed-fields.js';

describe('packets', () => {
  test('no text makes a parser throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.jsonValue().map(value => JSON.stringify({ v: 1, id: 'x', pattern: 'p', replyTo: 'r', timeoutMs: value, caller: value, err: value }))), text => {
        for (const parse of [parseRequest, parseCancel, parseReply]) {
          const packet = parse(Buffer.from(text));
          expect(packet === null || typeof packet === 'object').toBe(true);
        }
      }),
    );
  });

  test('the size that counts is that of the bytes', () => {
    expect(exceedsBytes('x'.repeat(3_000), 3_000)).toBe(false);
    expect(exceedsBytes('x'.repeat(3_000 + 1), 3_000)).toBe(true);
    expect(exceedsBytes('\u20ac'.repeat(3_000 / 3), 3_000)).toBe(false);
    expect(exceedsBytes('\u20ac'.repeat(3_000 / 3 + 1), 3_000)).toBe(true);
  });
});

describe('channels', () => {
  const channels = new Channels('ns');
  const instance = { name: 'node-1.zone_a', bootedAt: 1_700_000_000_000, publicKey: generateSealingKeys().publicKey };

  test('a request channel tells all about its instance', () => {
    const channel = channels.requests('vault', instance);
    expect(Channels.parseInstance(channel.slice(channels.requestsOf('vault').length))).toEqual(instance);
  });

  test.each(['', 'a', 'a:b', 'a:1:short', `a:1:${'x'.repeat(43)}:more`, `:1:${'x'.repeat(43)}`, `a b:1:${'x'.repeat(43)}`, `a:-1:${'x'.repeat(43)}`])('"%s" is no instance', rest => {
    expect(Channels.parseInstance(rest)).toBeNull();
  });

  test('names that would break the channel are refused', () => {
    for (const name of ['', 'a:b', 'a*', 'a b', 'x'.repeat(129)]) expect(() => channels.requests('vault', { ...instance, name })).toThrow(TypeError);
    expect(() => new Channels('a:b')).toThrow(TypeError);
  });
});

describe('sealed fields', () => {
  const transportKey = randomBytes(32);
  const keys = generateSealingKeys();
  const place = { pattern: 'vaults.create', requestId: 'one' };
  const input = { name: 'n', auth: { token: 'planted' } };

  test('come back as they were, and nothing else changes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const sealed = sealFields({ name: 'n', auth: value }, ['auth'], keys.publicKey, transportKey, place);
        expect(openFields(JSON.parse(JSON.stringify(sealed)), ['auth'], keys, transportKey, place)).toEqual({ name: 'n', auth: JSON.parse(JSON.stringify(value)) as unknown });
      }),
      { numRuns: 50 },
    );
  });

  test('a field that is not given stays so', () => {
    expect(sealFields({ name: 'n' }, ['auth'], keys.publicKey, transportKey, place)).toEqual({ name: 'n' });
  });

  test('are never taken in the clear', () => {
    expect(() => openFields(input, ['auth'], keys, transportKey, place)).toThrow(SealBroken);
    expect(() => openFields({ auth: 'clear text' }, ['auth'], keys, transportKey, place)).toThrow(SealBroken);
  });

  test('fit no other call, method, field or direction', () => {
    const sealed = sealFields(input, ['auth'], keys.publicKey, transportKey, place) as { auth: string };
    expect(() => openFields(sealed, ['auth'], keys, transportKey, { ...place, requestId: 'two' })).toThrow(SealBroken);
    expect(() => openFields(sealed, ['auth'], keys, transportKey, { ...place, pattern: 'vaults.update' })).toThrow(SealBroken);
    expect(() => openFields({ other: sealed.auth }, ['other'], keys, transportKey, place)).toThrow(SealBroken);
    expect(() => openResult(sealed.auth, keys, transportKey, place)).toThrow(SealBroken);
    expect(() => openFields({ auth: sealResult(1, keys.publicKey, transportKey, place) }, ['auth'], keys, transportKey, place)).toThrow(SealBroken);
  });

  test('a sealed result may be nothing', () => {
    expect(openResult(sealResult(undefined, keys.publicKey, transportKey, place), keys, transportKey, place)).toBeUndefined();
    expect(openResult(sealResult(null, keys.publicKey, transportKey, place), keys, transportKey, place)).toBeNull();
  });
});
