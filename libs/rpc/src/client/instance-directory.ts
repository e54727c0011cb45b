import type { ServiceName } from '@gatehouse/contracts';
import type { MessageBus } from '../bus/message-bus.js';
import { Channels, type Instance } from '../wire/channels.js';

/** How long a reading of the directory is good. A dead instance costs one failed publish, so it need not be fresh. */
const FRESH_MS = 1_000;

/** An instance as this process sees it. */
export interface LiveInstance extends Instance {
  readonly requests: string;
  readonly control: string;
  /** Calls of this process that wait for it. */
  inFlight: number;
}

/** The live instances of one service, read from the bus' table of subscriptions. */
export class InstanceDirectory {
  private instances: readonly LiveInstance[] = [];
  private readAt = Number.NEGATIVE_INFINITY;
  private reading: Promise<void> | undefined;
  private nextReading: Promise<void> | undefined;

  constructor(
    private readonly bus: MessageBus,
    private readonly channels: Channels,
    private readonly service: ServiceName,
  ) {}

  /** Names of the live instances, read anew. */
  async names(): Promise<string[]> {
    await this.refresh();
    return [...new Set(this.instances.map(({ name }) => name))];
  }

  /**
   * An instance to ask, out of those not tried yet: the named one (its newest boot first), or the less busy of two taken
   * at random. Never waits: an old list is renewed in the background.
   */
  choose(name: string | undefined, tried: ReadonlySet<LiveInstance>): LiveInstance | undefined {
    if (this.instances.length > 0 && performance.now() - this.readAt > FRESH_MS) this.renew();
    const open = tried.size === 0 ? this.instances : this.instances.filter(instance => !tried.has(instance));
    return name === undefined ? lessBusyOfTwo(open) : open.find(instance => instance.name === name);
  }

  drop(gone: LiveInstance): void {
    this.instances = this.instances.filter(instance => instance !== gone);
  }

  /** Resolves after a reading that began after this call, shared by all who ask meanwhile. */
  refresh(): Promise<void> {
    if (this.reading === undefined) {
      this.reading = this.read().finally(() => (this.reading = undefined));
      return this.reading;
    }
    const again = (): Promise<void> => {
      this.nextReading = undefined;
      return this.refresh();
    };
    return (this.nextReading ??= this.reading.then(again, again));
  }

  private renew(): void {
    // Who really needs the answer asks by `refresh` and gets the failure.
    if (this.reading === undefined) this.refresh().catch(() => undefined);
  }

  private async read(): Promise<void> {
    const prefix = this.channels.requestsOf(this.service);
    const names = await this.bus.channels(prefix);
    const known = new Map(this.instances.map(instance => [instance.requests, instance]));
    this.instances = names
      .flatMap(requests => {
        const instance = Channels.parseInstance(requests.slice(prefix.length));
        if (instance === null) return [];
        return known.get(requests) ?? { ...instance, requests, control: this.channels.control(instance), inFlight: 0 };
      })
      .sort((a, b) => b.bootedAt - a.bootedAt);
    this.readAt = performance.now();
  }
}

/** Nearly as even as asking all for their load (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). */
const lessBusyOfTwo = (instances: readonly LiveInstance[]): LiveInstance | undefined => {
  if (instances.length < 2) return instances[0];
  const at = Math.floor(Math.random() * instances.length);
  const other = (at + 1 + Math.floor(Math.random() * (instances.length - 1))) % instances.length;
  const [one, two] = [instances[at], instances[other]];
  return one !== undefined && two !== undefined && two.inFlight < one.inFlight ? two : one;
};
