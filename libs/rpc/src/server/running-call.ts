import type { RpcCall } from '@gatehouse/contracts';
import type { RequestPacket } from '../wire/packets.js';

/** Longest a Node.js timer can wait. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** One request while its handler runs. */
export class RunningCall implements RpcCall {
  readonly deadline: number;
  private readonly aborter = new AbortController();
  private readonly timer: NodeJS.Timeout;

  constructor(readonly packet: RequestPacket) {
    const timeoutMs = Math.min(Math.max(packet.timeoutMs, 1), TIMER_MS_MAX);
    this.deadline = Date.now() + timeoutMs;
    this.timer = setTimeout(() => this.abort('The deadline of the call has passed'), timeoutMs);
  }

  get signal(): AbortSignal {
    return this.aborter.signal;
  }

  abort(reason: string): void {
    this.end();
    this.aborter.abort(new DOMException(reason, 'AbortError'));
  }

  end(): void {
    clearTimeout(this.timer);
  }
}
