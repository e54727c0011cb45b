import { fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Caller } from '@gatehouse/contracts';
import { RedisBus, RpcClients } from '@gatehouse/rpc';
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

const ROUNDS = 5;
const ROUND_MS = 1_500;
const WARM_UP_MS = 2_000;
const CONCURRENCIES = [1, 64];

type Sample = Omit<RpcBenchRow, 'what' | 'timesPing'>;

/**
 * Calls between two processes over Redis: validation, Nest's pipeline and both codecs included. Every round measures a bare
 * PING and a call one after the other, so that their ratio is one of the same moment.
 */
export const rpcBench = async (redisUrl: string): Promise<RpcBenchRow[]> => {
  const namespace = `bench-${randomUUID()}`;
  const transportKey = randomBytes(32);
  const server = fork(fileURLToPath(new URL('./rpc-bench.server.js', import.meta.url)), [], { env: { ...process.env, BENCH_REDIS_URL: redisUrl, BENCH_NAMESPACE: namespace, BENCH_TRANSPORT_KEY: transportKey.toString('hex') } });
  const bus = new RedisBus({ url: redisUrl, logger: quiet });
  const clients = new RpcClients({ bus, namespace, transportKey, logger: quiet });
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
    return CONCURRENCIES.flatMap(concurrency => {
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
  } finally {
    await clients.close();
    await bus.close();
    ping.disconnect();
    const gone = once(server, 'exit');
    server.disconnect();
    await gone;
  }
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
