import { Readable } from 'node:stream';
import { expect, test } from '@jest/globals';
import { expectError } from '@gatehouse/testing';
import { withLength } from './content.js';

const all = async (stream: Readable): Promise<Buffer> => Buffer.concat((await stream.toArray()) as Buffer[]);
const bytes = (...chunks: string[]): Readable => Readable.from(chunks.map(chunk => Buffer.from(chunk)), { objectMode: false });

test('a content comes after its length', async () => {
  expect((await all(withLength(5, bytes('ab', 'cde')))).toString('hex')).toBe(`0000000000000005${Buffer.from('abcde').toString('hex')}`);
  expect((await all(withLength(0, bytes()))).toString('hex')).toBe('0000000000000000');
});

test('a content that is not as long as it was said to be fails, and is let go of', async () => {
  for (const size of [4, 6]) {
    const content = bytes('abc', 'de');
    expect((await expectError(all(withLength(size, content)), 'sandbox_error')).message).toBe('The file changed while it was read');
    expect(content.destroyed).toBe(true);
  }
});
