import { readFileSync } from 'node:fs';
import { type AppProcess, countsOf, createSystem, descriptorsOf, eventually, tracesOf } from '@gatehouse/testing';
import { percentile, printTable, verdict } from './table.js';

/** One sandbox every three minutes for a day. */
const LIVES = 24 * 20;
const AT_ONCE = 12;
const SAMPLES = 24;
/** Lives until code is compiled, pools are open and heaps have found their size. */
const WARM_UP = LIVES / 6;

interface Sample {
  readonly lives: number;
  readonly memoryBytes: Readonly<Record<'gateway' | 'sandbox', number>>;
  readonly descriptors: Readonly<Record<'gateway' | 'sandbox', number>>;
  /** Processes, mounts, cgroups, loop devices, directories and disks while nobody has a sandbox. */
  readonly leftovers: number;
}

/** A day of lives, each created, used, stopped when idle, woken, used again and deleted, in a few minutes: what grows has a leak. */
export const soakBench = async (): Promise<void> => {
  const system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '1000000', RATE_LIMIT_CREATE_BURST: '1000000', RATE_LIMIT_TEAM_BURST: '1000000', SANDBOX_POOL_SIZE: '0' });
  try {
    const { gateway, sandbox } = await system.startAll();
    const { secret } = await system.createKey();
    const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
      const answer = await fetch(`${gateway.url}${path}`, { method, headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer.status === 204 ? null : answer.json();
    };
    await call('PUT', '/v1/agents/soak', { model: 'scripted', sandbox: { timeoutMs: 1_000, files: { 'agent.txt': 'from the agent' } } });

    const live = async (): Promise<void> => {
      const { id } = (await call('POST', '/v1/sandboxes', { agent: 'soak' })) as { id: string };
      const at = `/v1/sandboxes/${id}`;
      await call('POST', `${at}/files`, { path: 'own.txt', content: id });
      await call('POST', `${at}/exec`, { command: 'cat agent.txt; (sleep 60 &) ; head -c 1000000 /dev/zero' });
      await eventually(async () => {
        if (((await call('GET', at)) as { status: string }).status !== 'stopped') throw new Error('not yet idle for its time');
      });
      const { content } = (await call('GET', `${at}/files?path=own.txt`)) as { content: string };
      if (content !== id) throw new Error('a sandbox has lost its file');
      await call('DELETE', at);
    };

    const samples: Sample[] = [];
    const sample = async (lives: number): Promise<void> => {
      await eventually(() => {
        if (leftoversOf(system) > 1) throw new Error('still clearing away');
      }, { deadlineMs: 5_000 }).catch(() => undefined); // then it is a leftover, and counted
      const processes = { gateway, sandbox };
      samples.push({ lives, memoryBytes: eachOf(processes, residentBytes), descriptors: eachOf(processes, app => Object.values(descriptorsOf(app)).reduce((sum, count) => sum + count, 0)), leftovers: leftoversOf(system) });
      process.stdout.write(`${lives} of ${LIVES} lives, sandbox service ${Math.round((samples.at(-1)?.memoryBytes.sandbox ?? 0) / 1_048_576)} MiB\n`);
    };

    let begun = 0;
    const started = performance.now();
    await sample(0);
    for (let end = LIVES / SAMPLES; end <= LIVES; end += LIVES / SAMPLES) {
      const worker = async (): Promise<void> => {
        while (begun < end) {
          begun++;
          await live();
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      await sample(end);
    }
    report(samples, performance.now() - started);
  } finally {
    await system.close();
  }
};

const report = (samples: readonly Sample[], tookMs: number): void => {
  const mib = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MiB`;
  printTable(`Soak: ${LIVES} lives in ${Math.round(tookMs / 1_000)} s`, ['after lives', 'sandbox memory', 'gateway memory', 'sandbox descriptors', 'gateway descriptors', 'leftovers'], samples.map(({ lives, memoryBytes, descriptors, leftovers }) => [String(lives), mib(memoryBytes.sandbox), mib(memoryBytes.gateway), String(descriptors.sandbox), String(descriptors.gateway), String(leftovers)]));
  const warm = samples.filter(({ lives }) => lives >= WARM_UP);
  const third = Math.floor(warm.length / 3);
  // The least of each: what is there in between is garbage that was not collected yet.
  const growth = (value: (sample: Sample) => number): number => percentile(warm.slice(-third).map(value), 0) / percentile(warm.slice(0, third).map(value), 0);
  const claims = (['sandbox', 'gateway'] as const).flatMap(name => {
    const memory = growth(({ memoryBytes }) => memoryBytes[name]);
    const descriptors = growth(sample => sample.descriptors[name]);
    return [
      verdict(`memory of the ${name}, last third to first third, at most 1.10`, memory, memory <= 1.1, memory.toFixed(2)),
      verdict(`descriptors of the ${name}, last third to first third, at most 1.05`, descriptors, descriptors <= 1.05, descriptors.toFixed(2)),
    ];
  });
  const leftovers = Math.max(...warm.slice(-third).map(sample => sample.leftovers)) - Math.max(...warm.slice(0, third).map(sample => sample.leftovers));
  printTable('Claims', ['claim', 'measured', 'holds'], [...claims, verdict('nothing is left of a sandbox that was deleted', leftovers, leftovers <= 0, String(leftovers))]);
};

const leftoversOf = (system: Parameters<typeof tracesOf>[0]): number => Object.values(countsOf(tracesOf(system))).reduce((sum, count) => sum + count, 0);
const eachOf = <T>({ gateway, sandbox }: Record<'gateway' | 'sandbox', AppProcess>, value: (app: AppProcess) => T): Record<'gateway' | 'sandbox', T> => ({ gateway: value(gateway), sandbox: value(sandbox) });
const residentBytes = ({ pid }: AppProcess): number => 1_024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? Number.NaN);
