import { Readable } from 'node:stream';
import { expect, test } from '@jest/globals';
import { textOf } from './text-of.js';

test('a text is read over the borders of its chunks, and what is no UTF-8 is replaced', async () => {
  const euro = Buffer.from('\u{feff}€');
  expect(await textOf(Readable.from([euro.subarray(0, 4), euro.subarray(4), Buffer.from([0xff, 0x00, 0xc3])], { objectMode: false }))).toBe('\u{feff}€\u{fffd}\0\u{fffd}');
  expect(await textOf(Readable.from([], { objectMode: false }))).toBe('');
});
