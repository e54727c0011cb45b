import { createSystem } from '@gatehouse/testing';
import { ms, percentile, printTable, verdict } from './table.js';

const CREATES = 40;
const EXECS = 300;

/** What an agent's user waits for: a new sandbox until its first command has answered, and a command in one that runs. All over HTTP. */
export const sandboxBench = async (): Promise<void> => {
  const system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '100000', RATE_LIMIT_CREATE_BURST: '100000' });
  try {
    const { gateway } = await system.startAll();
    const { secret } = await system.createKey();
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
    const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
      const answer = await fetch(`${gateway.url}${path}`, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer.status === 204 ? null : answer.json();
    };
    await call('PUT', '/v1/agents/bench', { model: 'scripted' });
    const exec = async (id: string, command: string): Promise<unknown> => call('POST', `/v1/sandboxes/${id}/exec`, { command });

    const cold: number[] = [];
    const created: number[] = [];
    const ids: string[] = [];
    for (let round = -3; round < CREATES; round++) {
      const started = performance.now();
      const { id } = (await call('POST', '/v1/sandboxes', { agent: 'bench' })) as { id: string };
      const made = performance.now();
      await exec(id, 'true');
      // The first few load code and caches.
      if (round >= 0) {
        created.push(made - started);
        cold.push(performance.now() - started);
      }
      ids.push(id);
      if (ids.length > 3) await call('DELETE', `/v1/sandboxes/${ids.shift() ?? ''}`);
    }

    const execs: number[] = [];
    const [id = ''] = ids;
    for (let round = -20; round < EXECS; round++) {
      const started = performance.now();
      await exec(id, 'true');
      if (round >= 0) execs.push(performance.now() - started);
    }
    for (const left of ids) await call('DELETE', `/v1/sandboxes/${left}`);

    const row = (name: string, samples: readonly number[]): string[] => [name, String(samples.length), ms(percentile(samples, 0.5)), ms(percentile(samples, 0.95)), ms(percentile(samples, 0.99))];
    printTable('Sandboxes over HTTP, one request at a time, no warm pool', ['what', 'samples', 'p50', 'p95', 'p99'], [row('create', created), row('create to first exec answered', cold), row('exec true', execs)]);
    const [coldMs, execMs] = [percentile(cold, 0.5), percentile(execs, 0.5)];
    printTable('Claims', ['claim', 'measured', 'holds'], [verdict('create to first exec, cold, p50 at most 120 ms', coldMs, coldMs <= 120, ms(coldMs)), verdict('exec over HTTP, p50 at most 10 ms', execMs, execMs <= 10, ms(execMs))]);
  } finally {
    await system.close();
  }
};
