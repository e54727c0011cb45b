import type { RunningCall } from './running-call.js';

/** The requests an instance works on. */
export class RunningCalls {
  private readonly calls = new Map<string, RunningCall>();
  private idleListeners: (() => void)[] = [];

  get size(): number {
    return this.calls.size;
  }

  has(id: string): boolean {
    return this.calls.has(id);
  }

  add(call: RunningCall): void {
    this.calls.set(call.packet.id, call);
  }

  remove(call: RunningCall): void {
    this.calls.delete(call.packet.id);
    if (this.calls.size === 0) for (const listener of this.idleListeners.splice(0)) listener();
  }

  /** Only its own client may cancel a call. */
  cancel(id: string, replyTo: string): void {
    const call = this.calls.get(id);
    if (call?.packet.replyTo === replyTo) call.abort('The caller has given up');
  }

  abortAll(reason: string): void {
    for (const call of this.calls.values()) call.abort(reason);
  }

  /** Resolves to whether no call runs any more, at the latest after `timeoutMs`. */
  idle(timeoutMs: number): Promise<boolean> {
    if (this.calls.size === 0) return Promise.resolve(true);
    return new Promise(resolve => {
      const timer = setTimeout(resolve, timeoutMs, false);
      this.idleListeners.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  [Symbol.iterator](): IterableIterator<RunningCall> {
    return this.calls.values();
  }
}
