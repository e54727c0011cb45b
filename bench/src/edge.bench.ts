import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createSystem } from '@gatehouse/testing';
import autocannon from 'autocannon';
import { ms, percentile, perSecond, printTable, ratio, verdict } from './table.js';

const ROUNDS = 5;
const ROUND_SECONDS = 3;
const CONNECTIONS = 64;

interface Subject {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly rates: number[];
  readonly latencies: { p50: number; p99: number }[];
}

/** Bare Fastify, `/v1/me` through the whole edge, and a read through edge, RPC and Postgres; interleaved, so that a noisy moment meets them all. */
export const edgeBench = async (): Promise<void> => {
  const hello = spawn(process.execPath, [fileURLToPath(new URL('./hello.js', import.meta.url))], { stdio: ['ignore', 'pipe', 'inherit'] });
  const helloUrl = await new Promise<string>(resolve => hello.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim())));
  const unlimited = { RATE_LIMIT_DEFAULT: '100000000', RATE_LIMIT_DEFAULT_BURST: '1000000', RATE_LIMIT_TEAM: '100000000', RATE_LIMIT_TEAM_BURST: '1000000' };
  const system = createSystem({ ...unlimited });
  try {
    const { gateway } = await system.startAll();
    const { secret } = await system.createKey();
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
    await fetch(`${gateway.url}/v1/agents/bench`, { method: 'PUT', headers, body: '{"model":"scripted"}' });
    const { id } = (await (await fetch(`${gateway.url}/v1/sandboxes`, { method: 'POST', headers, body: '{"agent":"bench"}' })).json()) as { id: string };

    const subjects: Subject[] = [
      { name: 'bare Fastify hello', url: helloUrl, headers: {}, rates: [], latencies: [] },
      { name: 'GET /v1/me (edge)', url: `${gateway.url}/v1/me`, headers, rates: [], latencies: [] },
      { name: 'GET /v1/sandboxes/:id (edge + RPC + Postgres)', url: `${gateway.url}/v1/sandboxes/${id}`, headers, rates: [], latencies: [] },
    ];
    for (const { url, headers: own } of subjects) await autocannon({ url, headers: own, connections: CONNECTIONS, duration: 2 });
    for (let round = 0; round < ROUNDS; round++) {
      for (const subject of subjects) {
        const result = await autocannon({ url: subject.url, headers: subject.headers, connections: CONNECTIONS, duration: ROUND_SECONDS });
        if (result.non2xx > 0 || result.errors > 0) throw new Error(`${subject.name}: ${result.non2xx} answers were not 2xx, ${result.errors} failed`);
        subject.rates.push(result.requests.average);
        subject.latencies.push({ p50: result.latency.p50, p99: result.latency.p99 });
      }
    }

    const median = (values: readonly number[]): number => percentile(values, 0.5);
    const bare = median(subjects[0]?.rates ?? []);
    printTable(
      `HTTP, ${CONNECTIONS} connections, median of ${ROUNDS} interleaved rounds of ${ROUND_SECONDS} s; load, gateway, services, Redis and Postgres share this machine`,
      ['what', 'requests', 'p50', 'p99', 'of bare'],
      subjects.map(({ name, rates, latencies }) => [name, perSecond(median(rates)), ms(median(latencies.map(({ p50 }) => p50))), ms(median(latencies.map(({ p99 }) => p99))), ratio(median(rates) / bare)]),
    );
    const me = median(subjects[1]?.rates ?? []) / bare;
    printTable('Claims', ['claim', 'measured', 'holds'], [verdict('/v1/me is at least 0.2 of bare Fastify', me, me >= 0.2, ratio(me))]);
  } finally {
    await system.close();
    hello.kill();
  }
};
