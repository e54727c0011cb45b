import { Readable } from 'node:stream';
import { sandboxFailed } from '@gatehouse/contracts';

/** All of a content as text; bytes that are not UTF-8 become U+FFFD, a byte order mark stays. */
export const textOf = async (content: Readable): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of content as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
};

/**
 * A content after its length: eight bytes, big-endian. It has that length or it fails: whoever reads it has promised so many
 * bytes to somebody already.
 */
export const withLength = (size: number, content: Readable): Readable => Readable.from(measured(size, content), { objectMode: false });

async function* measured(size: number, content: Readable): AsyncGenerator<Buffer> {
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(size));
  yield length;
  let left = size;
  for await (const chunk of content as AsyncIterable<Buffer>) {
    left -= chunk.length;
    if (left < 0) break;
    yield chunk;
  }
  if (left !== 0) throw sandboxFailed('The file changed while it was read');
}
