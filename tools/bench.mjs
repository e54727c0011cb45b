import './node-version.mjs';
import { build } from './build.mjs';
import { endCommands } from './processes/commands.mjs';
import { onInterrupt } from './processes/interrupt.mjs';
import { printFailure, step } from './progress.mjs';
import { redisBinaryEnv } from './services/redis.mjs';
import { sandboxRuntimeEnv } from './sandbox-env.mjs';
import { startServices } from './services/services.mjs';
import { setup } from './setup.mjs';
import { throwaway } from './services/throwaway.mjs';
import { root } from './workspace.mjs';

// npm run bench [-- name]: the benchmarks of bench/, on services that are thrown away. The program gets where they are, and
// in BENCH_DIR a folder that goes with them.
let cleanUp = async () => {};

async function main() {
  await setup();
  const { dir, children, end } = await throwaway();
  cleanUp = end;
  await step('Built', () => build(['.', 'bench']));
  // Durable, as in production: otherwise every number that has a commit in it would be flattery.
  const services = await step('Postgres and Redis started', () => startServices(children, dir, { durable: true }));
  const runtime = await step('Sandbox runtime found', sandboxRuntimeEnv);
  const env = { ...process.env, ...services, ...(await redisBinaryEnv()), ...runtime, BENCH_DIR: dir };
  const child = children.spawn('bench', [process.execPath, 'bench/dist/main.js', ...process.argv.slice(2)], { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => child.once('error', reject).once('exit', code => resolve(code ?? 1)));
}

let interrupted = false;
onInterrupt({
  stop: async () => {
    interrupted = true;
    endCommands();
    await cleanUp();
    process.exit(130);
  },
  force: () => process.exit(130),
});

try {
  process.exitCode = await main();
} catch (error) {
  if (!interrupted) printFailure(error);
  process.exitCode = 1;
}
if (!interrupted) await cleanUp();
