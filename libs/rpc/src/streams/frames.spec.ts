import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CHUNK_BYTES, type CreditFrame, type DataFrame, encodeFrame, parseCreditFrame, parseDataFrame } from './frames.js';

const sequence = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const chunk = fc.tuple(sequence, fc.uint8Array({ minLength: 1 })).map(([at, bytes]): DataFrame => ({ kind: 'chunk', sequence: at, pieces: [Buffer.from(bytes)] }));
const data: fc.Arbitrary<DataFrame> = fc.oneof(chunk, sequence.map((at): DataFrame => ({ kind: 'end', sequence: at })), fc.constantFrom<DataFrame>({ kind: 'hello' }, { kind: 'failed', error: { code: 'conflict', message: 'm' } }));
const credit: fc.Arbitrary<CreditFrame> = fc.oneof(sequence.map((at): CreditFrame => ({ kind: 'grant', sequence: at })), fc.constantFrom<CreditFrame>({ kind: 'done' }, { kind: 'stopped' }, { kind: 'broken' }));

describe('frames of a stream', () => {
  test('come back as they were, and only on their own way', () => {
    fc.assert(
      fc.property(data, frame => {
        expect(parseDataFrame(encodeFrame(frame))).toEqual(frame);
        expect(parseCreditFrame(encodeFrame(frame))).toBeNull();
      }),
    );
    fc.assert(
      fc.property(credit, frame => {
        expect(parseCreditFrame(encodeFrame(frame))).toEqual(frame);
        expect(parseDataFrame(encodeFrame(frame))).toBeNull();
      }),
    );
  });

  test('no bytes make a parser throw', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 0, max: 9 }), (bytes, kind) => {
        for (const parse of [parseDataFrame, parseCreditFrame]) {
          const frame = parse(Buffer.from([kind, ...bytes]));
          expect(frame === null || typeof frame.kind === 'string').toBe(true);
        }
      }),
    );
  });

  test('an empty chunk, and one above its bound, is none', () => {
    for (const size of [0, CHUNK_BYTES + 1]) expect(parseDataFrame(encodeFrame({ kind: 'chunk', sequence: 0, pieces: [Buffer.alloc(size)] }))).toBeNull();
    expect(parseDataFrame(encodeFrame({ kind: 'chunk', sequence: 0, pieces: [Buffer.alloc(CHUNK_BYTES)] }))).not.toBeNull();
  });
});
