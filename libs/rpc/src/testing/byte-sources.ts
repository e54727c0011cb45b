import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';

/** A source of so many bytes in pieces, which counts what was read of it. Without a size it has no end. */
export class CountingSource extends Readable {
  taken = 0;

  constructor(
    private readonly size = Number.POSITIVE_INFINITY,
    private readonly piece = Buffer.alloc(64 * 1024, 'planted bytes '),
  ) {
    super({ highWaterMark: 64 * 1024 });
  }

  override _read(): void {
    const left = this.size - this.taken;
    const bytes = this.piece.subarray(0, left);
    this.taken += bytes.length;
    this.push(left === 0 ? null : bytes);
  }
}

/** Bytes, to be told again by their hash. */
export const contentOf = (size: number): { readonly bytes: Buffer; readonly hash: string } => {
  const bytes = randomBytes(size);
  return { bytes, hash: createHash('sha256').update(bytes).digest('hex') };
};

/** What a stream gives until its end. */
export const drain = async (stream: Readable): Promise<{ readonly size: number; readonly hash: string }> => {
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    size += piece.length;
    hash.update(piece);
  }
  return { size, hash: hash.digest('hex') };
};
