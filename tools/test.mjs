import './node-version.mjs';
import { rmSync } from 'node:fs';
import { endCommands, runNode } from './processes/commands.mjs';
import { onInterrupt } from './processes/interrupt.mjs';
import { note, printFailure, step } from './progress.mjs';
import { redisBinaryEnv } from './services/redis.mjs';
import { sandboxRuntimeEnv } from './sandbox-env.mjs';
import { startServices } from './services/services.mjs';
import { setup } from './setup.mjs';
import { projectsWithSpecs, readTotals, resultsDir, sum } from './testing/test-totals.mjs';
import { throwaway } from './services/throwaway.mjs';
import { root } from './workspace.mjs';

// npm test [-- arguments for nx, such as -p vault]: everything, from a bare clone, on services that are thrown away.
const forwarded = process.argv.slice(2);
let cleanUp = async () => {};
let interrupted = false;

async function main() {
  await setup();
  const { dir, children, end } = await throwaway();
  cleanUp = end;
  const services = await step('Postgres and Redis started', () => startServices(children, dir, { durable: false }));
  const runtime = await step('Sandbox runtime found', sandboxRuntimeEnv).catch(sayOnly);
  const typesAgree = await step('Types checked, specs included', checkTypes).then(() => true, sayOnly);
  rmSync(resultsDir, { recursive: true, force: true });
  const tasksPassed = await nx(children, { ...services, ...(await redisBinaryEnv()), ...runtime, NX_TUI: 'false', NODE_ENV: 'test' });
  await cleanUp();
  return interrupted || report(typesAgree === true, tasksPassed);
}

/** The rest can still be run, and the specs that need a sandbox runtime say so themselves. */
function sayOnly(error) {
  if (!interrupted) printFailure(error);
}

const checkTypes = () =>
  runNode(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.typecheck.json', '--incremental', '--tsBuildInfoFile', '.gatehouse/typecheck.tsbuildinfo']);

/** Two tasks at a time: most of them keep a core busy, and some measure time. */
function nx(children, env) {
  const command = [process.execPath, 'node_modules/nx/dist/bin/nx.js', 'run-many', '-t', 'lint', 'build', 'test', '--parallel=2', ...forwarded];
  const child = children.spawn('nx', command, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => child.once('error', reject).once('exit', code => resolve(code === 0)));
}

/** Whatever went wrong outside a test is one failure more, so that the last line can be believed. */
function report(typesAgree, tasksPassed) {
  const totals = readTotals();
  const { passed, failed, skipped } = sum(totals.values());
  const silent = forwarded.length > 0 ? [] : projectsWithSpecs().filter(project => !totals.has(project));
  if (silent.length > 0) note(`No test results from: ${silent.join(', ')}`);
  const otherFailures = [!typesAgree, !tasksPassed && failed === 0, tasksPassed && silent.length > 0].filter(Boolean).length;
  if (skipped > 0) note(`${skipped} skipped`);
  note(`${passed} passed, ${failed + otherFailures} failed`);
  return failed + otherFailures === 0;
}

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
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (!interrupted) {
    printFailure(error);
    await cleanUp();
    note('0 passed, 1 failed');
    process.exitCode = 1;
  }
}
