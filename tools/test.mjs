import './node-version.mjs';
import { rmSync } from 'node:fs';
import { endCommands, runNode } from './commands.mjs';
import { note, printFailure, step } from './progress.mjs';
import { redisBinaryEnv } from './redis.mjs';
import { sandboxRuntimeEnv } from './sandbox-env.mjs';
import { migrate, startServices } from './services.mjs';
import { setup } from './setup.mjs';
import { projectsWithTests, readTotals, resultsDir, sum } from './test-totals.mjs';
import { throwaway } from './throwaway.mjs';
import { root } from './workspace.mjs';

// npm test [-- arguments for nx, such as -p vault]: everything, from a bare clone, on services that are thrown away.
const forwarded = process.argv.slice(2);
/** @type {(() => Promise<void> | void)[]} */
const cleanups = [];
let interrupted = false;

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => void interrupt());

async function interrupt() {
  if (interrupted) return;
  interrupted = true;
  endCommands();
  await cleanUp();
  process.exit(130);
}

async function cleanUp() {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

async function main() {
  await setup();
  const { dir, children, end } = await throwaway();
  cleanups.push(end);
  const env = { ...(await environment(children, dir)), NX_TUI: 'false', NODE_ENV: 'test' };
  const typesAgree = await succeeds(step('Types checked, specs included', checkTypes));
  rmSync(resultsDir, { recursive: true, force: true });
  const tasksPassed = await nx(children, env);
  await cleanUp();
  return report(typesAgree, tasksPassed);
}

async function environment(children, dir) {
  const services = await step('Postgres and Redis started', async () => {
    const started = await startServices(children, dir, { durable: false });
    cleanups.push(started.stop);
    await migrate(started.env);
    return started;
  });
  return { ...services.env, ...(await redisBinaryEnv()), ...(await optional(step('Sandbox runtime found', sandboxRuntimeEnv))) };
}

/** Where there is none the specs that need one say so themselves. */
const optional = work => work.catch(error => note(error.message)).then(found => found ?? {});

const checkTypes = () =>
  runNode(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.typecheck.json', '--incremental', '--tsBuildInfoFile', '.gatehouse/typecheck.tsbuildinfo']);

const succeeds = work =>
  work.then(
    () => true,
    error => {
      printFailure(error);
      return false;
    },
  );

/** Two tasks at a time: most of them keep a core busy, and some measure time. */
async function nx(children, env) {
  const command = [process.execPath, 'node_modules/nx/dist/bin/nx.js', 'run-many', '-t', 'lint', 'build', 'test', '--parallel=2', ...forwarded];
  const child = children.spawn('nx', command, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'inherit', 'inherit'] });
  cleanups.push(() => children.stop(child));
  return new Promise((resolve, reject) => child.once('error', reject).once('exit', code => resolve(code === 0)));
}

/** Whatever went wrong outside a test is one failure more, so that the last line can be believed. */
function report(typesAgree, tasksPassed) {
  const totals = readTotals();
  const { passed, failed, skipped } = sum(totals.values());
  const silent = forwarded.length > 0 ? [] : projectsWithTests().filter(project => !totals.has(project));
  if (silent.length > 0) note(`No test results from: ${silent.join(', ')}`);
  const otherFailures = [!typesAgree, !tasksPassed && failed === 0, tasksPassed && silent.length > 0].filter(Boolean).length;
  if (skipped > 0) note(`${skipped} skipped`);
  note(`${passed} passed, ${failed + otherFailures} failed`);
  return failed + otherFailures === 0;
}

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
