/** Bytes that came in pieces of any size and leave in chunks. */
export class PieceBuffer {
  private pieces: Buffer[] = [];
  length = 0;

  /** @throws TypeError when it is neither bytes nor text, as what a stream of objects gives may be */
  add(piece: unknown): void {
    const bytes = asBuffer(piece);
    if (bytes.length === 0) return;
    this.pieces.push(bytes);
    this.length += bytes.length;
  }

  /** Removes what came first, at most so many bytes. */
  take(bytesMax: number): Buffer[] {
    const taken: Buffer[] = [];
    for (let left = Math.min(bytesMax, this.length); left > 0; ) {
      const first = this.pieces[0] as Buffer;
      const piece = first.subarray(0, left);
      if (piece.length === first.length) this.pieces.shift();
      else this.pieces[0] = first.subarray(left);
      taken.push(piece);
      this.length -= piece.length;
      left -= piece.length;
    }
    return taken;
  }
}

const asBuffer = (piece: unknown): Buffer => {
  if (typeof piece === 'string') return Buffer.from(piece);
  if (ArrayBuffer.isView(piece)) return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  throw new TypeError('A stream of bytes is made of bytes or text');
};
