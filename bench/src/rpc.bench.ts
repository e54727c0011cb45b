import { fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Caller } from '@gatehouse/contracts';
import { ByteStreams, RedisBus, RpcClients, newStreamRef } from '@gatehouse/rpc';
import { Redis } from 'ioredis';
import { quiet } from './quiet-logger.js';
import { benchRpc } from './rpc-bench.contract.js';

export interface RpcBenchRow {
  readonly what: 'call' | 'redis ping';
  readonly concurrency: number;
  /** Median over the rounds; times in milliseconds. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How many times a bare PING of the same round a call takes, by its median. Independent of how busy the machine is. */
  readonly timesPing: number;
}

export interface StreamBenchRow {
  readonly what: 'stream' | 'redis SET and GETDEL';
  readonly bytes: number;
  /** Median over the rounds, in millions of bytes. */
  readonly mbPerSecond: number;
}

export interface RpcBench {
  readonly calls: readonly RpcBenchRow[];
  readonly streams: readonly StreamBenchRow[];
}

const STREAM_BYTES = [100 * 2 ** 20, 2 ** 30];
const STREAM_ROUNDS = 3;
/** As large as the chunks of a stream. */
const VALUE_BYTES = 256 * 1024;

const ROUNDS = 5;
const ROUND_MS = 1_500;
const WARM_UP_MS = 2_000;
const CONCURRENCIES = [1, 64];

type Sample = Omit<RpcBenchRow, 'what' | 'timesPing'>;

/**
 * Calls between two processes over Redis: validation, Nest's pipeline and both codecs included. Every round measures a bare
 * PING and a call one after the other, so that their ratio is one of the same moment. Then streams of bytes the same way,
 * beside the least that could carry them: each chunk once into Redis and once out of it, by one process, in the clear.
 */
export const rpcBench = async (redisUrl: string): Promise<RpcBench> => {
  const namespace = `bench-${randomUUID()}`;
  const transportKey = randomBytes(32);
  const server = fork(fileURLToPath(new URL('./rpc-bench.server.js', import.meta.url)), [], { env: { ...process.env, BENCH_REDIS_URL: redisUrl, BENCH_NAMESPACE: namespace, BENCH_TRANSPORT_KEY: transportKey.toString('hex') } });
  const bus = new RedisBus({ url: redisUrl, logger: quiet });
  const clients = new RpcClients({ bus, namespace, transportKey, logger: quiet });
  const streams = new ByteStreams({ bus, namespace, transportKey, logger: quiet });
  const ping = new Redis(redisUrl);
  try {
    await once(server, 'message');
    const client = clients.of(benchRpc);
    const caller: Caller = { teamId: randomUUID(), keyId: randomUUID(), scopes: ['*'], userId: null, requestId: randomUUID() };
    const input = { name: 'bench', content: 'x'.repeat(200), limit: 20 };
    const kinds = { 'redis ping': () => ping.ping(), call: () => client.echo(caller, input) } as const;

    for (const concurrency of CONCURRENCIES) await measure(kinds.call, concurrency, WARM_UP_MS / CONCURRENCIES.length);
    const rounds: Record<keyof typeof kinds, Sample>[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const concurrency of CONCURRENCIES) {
        rounds.push({ 'redis ping': await measure(kinds['redis ping'], concurrency, ROUND_MS / 3), call: await measure(kinds.call, concurrency, ROUND_MS) });
      }
    }
    const calls = CONCURRENCIES.flatMap(concurrency => {
      const ofConcurrency = rounds.filter(({ call }) => call.concurrency === concurrency);
      return (['redis ping', 'call'] as const).map(what => ({
        what,
        concurrency,
        perSecond: Math.round(median(ofConcurrency.map(round => round[what].perSecond))),
        p50Ms: rounded(median(ofConcurrency.map(round => round[what].p50Ms))),
        p99Ms: rounded(median(ofConcurrency.map(round => round[what].p99Ms))),
        timesPing: rounded(median(ofConcurrency.map(round => round[what].p50Ms / round['redis ping'].p50Ms))),
      }));
    });

    const carry = async (bytes: number): Promise<void> => {
      const ref = newStreamRef();
      const [sent, { bytes: received }] = await Promise.all([streams.send(ref, zeros(bytes)), client.swallow(caller, { ref })]);
      if (!sent.complete || received !== bytes) throw new Error(`Of ${bytes} bytes ${received} came`);
    };
    const value = Buffer.alloc(VALUE_BYTES);
    const through = async (bytes: number): Promise<void> => {
      const key = `${namespace}:value`;
      for (let left = bytes; left > 0; left -= VALUE_BYTES) await Promise.all([ping.set(key, value, 'PX', 60_000), ping.getdelBuffer(key)]);
    };
    const streamed: StreamBenchRow[] = [];
    for (const bytes of STREAM_BYTES) {
      const rates: Record<StreamBenchRow['what'], number[]> = { 'redis SET and GETDEL': [], stream: [] };
      for (let round = 0; round < STREAM_ROUNDS; round++) {
        rates['redis SET and GETDEL'].push(await rateOf(through, bytes));
        rates.stream.push(await rateOf(carry, bytes));
      }
      for (const what of ['redis SET and GETDEL', 'stream'] as const) streamed.push({ what, bytes, mbPerSecond: Math.round(median(rates[what])) });
    }
    return { calls, streams: streamed };
  } finally {
    await streams.close();
    await clients.close();
    await bus.close();
    ping.disconnect();
    const gone = once(server, 'exit');
    server.disconnect();
    await gone;
  }
};

/** Made as fast as they are read. */
const zeros = (bytes: number): Readable => {
  const piece = Buffer.alloc(64 * 1024);
  let left = bytes;
  return new Readable({
    read() {
      const next = piece.subarray(0, left);
      left -= next.length;
      this.push(next.length === 0 ? null : next);
    },
  });
};

const rateOf = async (carry: (bytes: number) => Promise<void>, bytes: number): Promise<number> => {
  const begin = performance.now();
  await carry(bytes);
  return bytes / 1_000 / (performance.now() - begin);
};

const measure = async (ask: () => Promise<unknown>, concurrency: number, durationMs: number): Promise<Sample> => {
  const latencies: number[] = [];
  const begin = performance.now();
  const worker = async (): Promise<void> => {
    for (let start = begin; start - begin < durationMs; ) {
      await ask();
      const end = performance.now();
      latencies.push(end - start);
      start = end;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const seconds = (performance.now() - begin) / 1_000;
  latencies.sort((a, b) => a - b);
  return { concurrency, perSecond: latencies.length / seconds, p50Ms: at(latencies, 0.5), p99Ms: at(latencies, 0.99) };
};

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
const median = (values: readonly number[]): number => at([...values].sort((a, b) => a - b), 0.5);
const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;
