import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { DriverLogger } from '../driver-logger.js';
import type { EngineApi, EngineEvent } from './engine-api.js';

const RECONNECT_MS = 1_000;
const LINE_MAX = 1024 * 1024;
const NAMES = ['oom', 'die'];

/** What befalls the containers of this node, from the engine's events: how often one ran out of memory, and that it ended. */
export class ContainerEvents {
  private readonly oomKills = new Map<string, number>();
  private readonly dead = new Set<string>();
  private readonly waiting = new Map<string, (() => void)[]>();
  private readonly closing = new AbortController();
  private stream: Readable | undefined;
  /** Nanoseconds of the last event; those after it are asked for again when the connection was lost. */
  private lastNano = Date.now() * 1e6;
  private followed: Promise<void> | undefined;

  constructor(
    private readonly engine: EngineApi,
    private readonly labels: readonly string[],
    private readonly log: DriverLogger,
  ) {}

  /** Begins to listen with the first box: until then there is nothing to hear. */
  listen(): void {
    this.followed ??= this.follow();
  }

  /** Of a container since this process listens. */
  oomKillsOf(id: string): number {
    return this.oomKills.get(id) ?? 0;
  }

  /** Its end is told after whatever led to it. Gives up after a while: the count is then what is known. */
  async ended(id: string, withinMs: number): Promise<void> {
    if (this.dead.has(id)) return;
    const { promise, resolve } = told();
    this.waiting.set(id, [...(this.waiting.get(id) ?? []), resolve]);
    const enough = new AbortController();
    await Promise.race([promise, delay(withinMs, undefined, { signal: enough.signal }).catch(() => undefined)]); // aborted: it was told
    enough.abort();
  }

  forget(id: string): void {
    this.oomKills.delete(id);
    this.dead.delete(id);
    this.waiting.delete(id);
  }

  async close(): Promise<void> {
    this.closing.abort();
    this.stream?.destroy();
    await this.followed;
  }

  private async follow(): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      try {
        this.stream = await this.engine.events(this.labels, NAMES, (this.lastNano + 1) / 1e9);
        if (signal.aborted) this.stream.destroy();
        for await (const line of linesOf(this.stream)) this.take(JSON.parse(line) as EngineEvent);
      } catch (err) {
        if (!signal.aborted) this.log.warn({ err }, 'the events of the Docker Engine broke off; listening again');
      }
      await delay(RECONNECT_MS, undefined, { signal }).catch(() => undefined); // closed meanwhile
    }
  }

  private take({ Action, Actor: { ID: id }, timeNano }: EngineEvent): void {
    this.lastNano = Math.max(this.lastNano, timeNano);
    if (Action === 'oom') return void this.oomKills.set(id, this.oomKillsOf(id) + 1);
    this.dead.add(id);
    for (const resolve of this.waiting.get(id) ?? []) resolve();
    this.waiting.delete(id);
  }
}

async function* linesOf(stream: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_MAX) throw new Error('an event has no end');
    yield* lines.filter(Boolean);
  }
}

function told(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  return { promise: new Promise<void>(done => (resolve = done)), resolve };
}
