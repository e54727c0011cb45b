import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeReply, encodeReply } from './reply-texts.js';

const LONG = 70_000;

describe('a reply', () => {
  test.each<[string, unknown]>([
    ['short', { text: 'short' }],
    ['long', { text: 'x'.repeat(LONG) }],
    ['of control characters', { stdout: '\0'.repeat(LONG), stderr: '\u0001'.repeat(LONG), exitCode: 0 }],
    ['of other scripts', { text: '\u{1f600}ü'.repeat(LONG) }],
    ['with an unpaired surrogate', { text: `${'x'.repeat(LONG)}\ud800` }],
    ['with a long text deeper inside', { list: [{ text: 'x'.repeat(LONG) }] }],
    ['that is a long text', 'x'.repeat(LONG)],
    ['of no result', undefined],
  ])('%s is the same when it has come', (_name, ok) => {
    expect(decodeReply(encodeReply({ id: 'call', ok }))).toEqual({ id: 'call', ok });
  });

  test('whatever its texts are is the same when it has come', () => {
    const text = fc.tuple(fc.string({ unit: 'binary', maxLength: 20 }), fc.integer({ min: 0, max: 20_000 })).map(([unit, times]) => unit.repeat(times));
    fc.assert(fc.property(fc.dictionary(fc.string(), fc.oneof(text, fc.jsonValue()), { maxKeys: 4, noNullPrototype: true }), ok => expect(decodeReply(encodeReply({ id: 'call', ok }))).toEqual(JSON.parse(JSON.stringify({ id: 'call', ok })))), { numRuns: 50 });
  });

  test('with control characters has about as many bytes as characters', () => {
    expect(encodeReply({ id: 'call', ok: { stdout: '\u0001'.repeat(1_000_000) } }).length).toBeLessThan(1_001_000);
  });

  test('that is cut or forged is refused', () => {
    const whole = encodeReply({ id: 'call', ok: { text: 'x'.repeat(LONG) } });
    expect(() => decodeReply(whole.subarray(0, -1))).toThrow('no place');
    expect(() => decodeReply(Buffer.concat([whole, Buffer.from('x')]))).toThrow('longer');
    expect(() => decodeReply(whole.subarray(0, 4))).toThrow();
  });
});
