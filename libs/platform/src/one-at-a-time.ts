/** Runs work under one key in the order it came, one after the other. Work under different keys does not wait. */
export class OneAtATime {
  private readonly last = new Map<string, Promise<unknown>>();

  /** @returns what `work` gives or throws; its failure does not stop those behind it. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.last.get(key) === mine) this.last.delete(key);
    }
  }
}
