import { beforeEach, describe, expect, test } from '@jest/globals';
import { generateSealingKeys } from '@gatehouse/sealing';
import { InMemoryBroker, InMemoryBus } from '../bus/in-memory-bus.js';
import { Channels } from '../wire/channels.js';
import { InstanceDirectory } from './instance-directory.js';

const channels = new Channels('ns');
const channelOf = (name: string, bootedAt = 1): string => channels.requests('vault', { name, bootedAt, publicKey: generateSealingKeys().publicKey });

/** Counts readings and lets a test decide when each ends. */
class SlowBus extends InMemoryBus {
  readonly readings: (() => void)[] = [];

  override async channels(prefix: string): Promise<string[]> {
    const answer = await super.channels(prefix);
    await new Promise<void>(resolve => this.readings.push(resolve));
    return answer;
  }
}

describe('instance directory', () => {
  let bus: SlowBus;
  let directory: InstanceDirectory;
  const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
  const readingEnds = async (): Promise<void> => {
    await settle();
    bus.readings.shift()?.();
    await settle();
  };

  beforeEach(() => {
    bus = new SlowBus(new InMemoryBroker());
    directory = new InstanceDirectory(bus, channels, 'vault');
  });

  test('many who ask at once cause one reading, those who ask while it runs share one more', async () => {
    const first = directory.refresh();
    await settle();
    const later = Promise.all(Array.from({ length: 10 }, () => directory.refresh()));
    await readingEnds();
    await first;
    await readingEnds();
    await later;
    expect(bus.readings).toHaveLength(0);
  });

  test('who asks after an instance came up finds it, though an older reading was still on its way', async () => {
    const old = directory.refresh();
    await settle();
    await bus.subscribe(channelOf('late'), () => undefined);
    const young = directory.refresh();
    await readingEnds();
    await old;
    expect(directory.choose(undefined, new Set())).toBeUndefined();
    await readingEnds();
    await young;
    expect(directory.choose(undefined, new Set())?.name).toBe('late');
  });

  test('keeps what it knows of an instance over readings, takes the newest boot of a name first, and ignores what is none', async () => {
    for (const channel of [channelOf('a', 1), channelOf('a', 3), channelOf('a', 2), channels.requestsOf('vault') + 'nonsense']) await bus.subscribe(channel, () => undefined);
    const read = async (): Promise<void> => {
      const reading = directory.refresh();
      await readingEnds();
      await reading;
    };
    await read();
    const newest = directory.choose('a', new Set());
    expect(newest?.bootedAt).toBe(3);
    if (newest !== undefined) newest.inFlight = 7;
    await read();
    expect(directory.choose('a', new Set())).toBe(newest);
    expect(directory.choose('a', new Set(newest === undefined ? [] : [newest]))?.bootedAt).toBe(2);
    for (let turn = 0; turn < 50; turn++) expect(directory.choose(undefined, new Set())).not.toBe(newest);
  });
});
