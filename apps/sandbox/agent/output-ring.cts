/** The newest bytes of a stream, addressed by their offset from its beginning. */
export class OutputRing {
  private readonly chunks: Buffer[] = [];
  private start = 0;
  private end = 0;

  constructor(private readonly capacityBytes: number) {}

  /** Offset one past the newest byte. */
  get head(): number {
    return this.end;
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.end += chunk.length;
    for (let oldest = this.chunks[0]; oldest && this.end - this.start - oldest.length >= this.capacityBytes; oldest = this.chunks[0]) {
      this.start += oldest.length;
      this.chunks.shift();
    }
  }

  /** Everything from `offset` on, or undefined when part of it is gone (or was never written). */
  from(offset: number): Buffer[] | undefined {
    if (offset < this.start || offset > this.end) return undefined;
    let skip = offset - this.start;
    return this.chunks.flatMap(chunk => {
      const cut = Math.min(skip, chunk.length);
      skip -= cut;
      return cut === chunk.length ? [] : [chunk.subarray(cut)];
    });
  }
}
