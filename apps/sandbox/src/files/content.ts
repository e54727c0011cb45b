import { Readable } from 'node:stream';
import { encodeLength, sandboxFailed } from '@gatehouse/contracts';
import { driverFailure } from '../sandboxes/driver-failure.js';

/**
 * A content after its length ({@link encodeLength}). It has that length or it fails: whoever reads it has promised so many bytes
 * to somebody already.
 */
export const withLength = (size: number, content: Readable): Readable => Readable.from(measured(size, content), { objectMode: false });

async function* measured(size: number, content: Readable): AsyncGenerator<Buffer> {
  yield encodeLength(size);
  let left = size;
  try {
    for await (const chunk of content as AsyncIterable<Buffer>) {
      left -= chunk.length;
      if (left < 0) break;
      yield chunk;
    }
  } catch (error) {
    throw driverFailure(error); // whoever receives it must be told in words of the contract
  }
  if (left !== 0) throw sandboxFailed('The file changed while it was read');
}
