import { testServices } from '@gatehouse/testing';
import { edgeBench } from './edge.bench.js';
import { printRpcBench } from './rpc-table.js';
import { sandboxBench } from './sandbox.bench.js';
import { soakBench } from './soak.bench.js';
import { vaultBench } from './vault.bench.js';

const BENCHMARKS: Readonly<Record<string, () => Promise<void>>> = {
  rpc: async () => printRpcBench(testServices().redisUrl),
  edge: edgeBench,
  sandbox: sandboxBench,
  vault: vaultBench,
  soak: soakBench,
};
/** Takes minutes: only when it is named. */
const LONG: ReadonlySet<string> = new Set(['soak']);

// npm run bench [-- name…]: all of them, or those named.
const wanted = process.argv.slice(2);
const unknown = wanted.filter(name => !Object.hasOwn(BENCHMARKS, name));
if (unknown.length > 0) {
  process.stderr.write(`There is no benchmark ${unknown.join(', ')}. There are: ${Object.keys(BENCHMARKS).join(', ')}\n`);
  process.exit(1);
}
for (const [name, run] of Object.entries(BENCHMARKS)) if (wanted.length === 0 ? !LONG.has(name) : wanted.includes(name)) await run();
