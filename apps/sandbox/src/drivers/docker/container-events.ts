import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { DriverLogger } from '../driver-logger.js';
import type { EngineApi, EngineEvent } from './engine-api.js';

const RECONNECT_MS = 1_000;
const LINE_MAX = 1024 * 1024;
const NAMES = ['oom', 'die'];

interface Watched {
  oomKills: number;
  dead: boolean;
  waiting: (() => void)[];
}

/** What befalls the containers of this node that are watched, from the engine's events: how often one ran out of memory, and that it ended. */
export class ContainerEvents {
  private readonly watched = new Map<string, Watched>();
  private readonly closing = new AbortController();
  private stream: Readable | undefined;
  /** Seconds. What came since then is asked for again when the connection was lost. */
  private since = Date.now() / 1_000;
  /** Events since then, each with its second: they are told twice. As many as containers end in two seconds. */
  private readonly taken = new Map<string, number>();
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

  /** Until it is forgotten. What is not watched counts nothing and is not waited for. */
  watch(id: string): void {
    if (!this.watched.has(id)) this.watched.set(id, { oomKills: 0, dead: false, waiting: [] });
  }

  /** Of a container since it is watched. */
  oomKillsOf(id: string): number {
    return this.watched.get(id)?.oomKills ?? 0;
  }

  /** Its end is told after whatever led to it. Gives up after a while: the count is then what is known. */
  async ended(id: string, withinMs: number): Promise<void> {
    const container = this.watched.get(id);
    if (!container || container.dead) return;
    const { promise, resolve } = told();
    container.waiting.push(resolve);
    const enough = new AbortController();
    await Promise.race([promise, delay(withinMs, undefined, { signal: enough.signal }).catch(() => undefined)]); // aborted: it was told
    enough.abort();
  }

  forget(id: string): void {
    for (const resolve of this.watched.get(id)?.waiting ?? []) resolve();
    this.watched.delete(id);
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
        this.stream = await this.engine.events(this.labels, NAMES, this.since);
        if (signal.aborted) this.stream.destroy();
        for await (const line of linesOf(this.stream)) this.take(JSON.parse(line) as EngineEvent);
      } catch (err) {
        if (!signal.aborted) this.log.warn({ err }, 'the events of the Docker Engine broke off; listening again');
      }
      await delay(RECONNECT_MS, undefined, { signal }).catch(() => undefined); // closed meanwhile
    }
  }

  private take({ Action, Actor: { ID: id }, timeNano }: EngineEvent): void {
    if (this.isTold(`${Action} ${id} ${timeNano}`, timeNano)) return;
    const container = this.watched.get(id);
    if (!container) return;
    if (Action === 'oom') return void container.oomKills++;
    container.dead = true;
    for (const resolve of container.waiting.splice(0)) resolve();
  }

  /**
   * Whether it came before. Numbers of JSON have no nanoseconds of our time, though the same digits always become the same number: so
   * one asks from a whole second on, the one before the last to be sure, and knows again what came since.
   */
  private isTold(event: string, timeNano: number): boolean {
    if (this.taken.has(event)) return true;
    const second = Math.floor(timeNano / 1e9);
    this.taken.set(event, second);
    const since = Math.max(this.since, second - 1);
    if (since > this.since) for (const [old, at] of this.taken) if (at < since) this.taken.delete(old);
    this.since = since;
    return false;
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
