/**
 * How much output of running commands this process holds until they end. Each is capped, but hundreds run at once, and all that
 * they may hold together is more than a machine has. Where the whole is too much, the command that holds the most gives way.
 */
export class HeldOutput {
  private readonly shares = new Set<HeldShare>();
  private bytes = 0;

  constructor(private readonly bytesMax: number) {}

  /** @param giveWay called once, when this one is to stop; it need not be the one that added last */
  open(giveWay: () => void): HeldShare {
    const share: HeldShare = new HeldShare(giveWay, this);
    this.shares.add(share);
    return share;
  }

  grow(share: HeldShare, bytes: number): void {
    if (!this.shares.has(share)) return; // it gave way already
    share.bytes += bytes;
    this.bytes += bytes;
    if (this.bytes <= this.bytesMax) return;
    let largest: HeldShare | undefined;
    for (const share of this.shares) if (largest === undefined || share.bytes > largest.bytes) largest = share;
    largest?.evict();
  }

  release(share: HeldShare): void {
    if (this.shares.delete(share)) this.bytes -= share.bytes;
  }
}

/** What one command has written so far. */
export class HeldShare {
  bytes = 0;

  constructor(
    private readonly giveWay: () => void,
    private readonly all: HeldOutput,
  ) {}

  add(bytes: number): void {
    this.all.grow(this, bytes);
  }

  /** Its output is held no more. */
  close(): void {
    this.all.release(this);
  }

  evict(): void {
    this.close();
    this.giveWay();
  }
}
