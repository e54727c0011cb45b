import type { MessageBus } from '../bus/message-bus.js';
import type { LiveInstance } from './instance-directory.js';
import type { PendingCall } from './pending-call.js';

const INTERVAL_MS = 250;

/**
 * Notices instances that died with a question: their control channel has no receiver any more. Asks only while calls wait,
 * once per interval for all of them.
 */
export class LivenessSweep {
  private timer: NodeJS.Timeout | undefined;
  private asking = false;

  constructor(
    private readonly bus: MessageBus,
    private readonly pending: ReadonlyMap<string, PendingCall>,
    private readonly onDead: (instance: LiveInstance, calls: readonly PendingCall[]) => void,
  ) {}

  /** To be called when a call begins to wait. */
  start(): void {
    this.timer ??= setInterval(() => void this.sweep(), INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async sweep(): Promise<void> {
    if (this.pending.size === 0) this.stop();
    const asked = this.delivered();
    if (asked.size === 0 || this.asking) return;
    this.asking = true;
    try {
      const instances = [...asked.keys()];
      const counts = await this.bus.receivers(instances.map(({ control }) => control));
      for (const [index, instance] of instances.entries()) {
        // A call that got its answer, or went on to another instance, while Redis was asked is no longer this one's.
        if (counts[index] === 0) this.onDead(instance, (asked.get(instance) ?? []).filter(call => call.instance === instance));
      }
    } catch {
      // The bus is down: it says so itself, and then all calls fail.
    } finally {
      this.asking = false;
    }
  }

  private delivered(): Map<LiveInstance, PendingCall[]> {
    const calls = new Map<LiveInstance, PendingCall[]>();
    for (const call of this.pending.values()) {
      if (call.instance === undefined || !call.delivered) continue;
      const ofInstance = calls.get(call.instance);
      if (ofInstance === undefined) calls.set(call.instance, [call]);
      else ofInstance.push(call);
    }
    return calls;
  }
}
