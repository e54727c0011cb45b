import './node-version.mjs';
import { join } from 'node:path';
import { apps, makeSandboxRunDir, STOP_ORDER } from './launcher/apps.mjs';
import { build } from './build.mjs';
import { Children, endLeftovers } from './processes/children.mjs';
import { endCommands } from './processes/commands.mjs';
import { devEnvFile, ensureDemo } from './launcher/demo.mjs';
import { devSecrets } from './launcher/dev-secrets.mjs';
import { onInterrupt } from './processes/interrupt.mjs';
import { acquireLauncherLock } from './launcher/launcher-lock.mjs';
import { logFormatter } from './launcher/log-lines.mjs';
import { isPortFree } from './services/ports.mjs';
import { note, printFailure, step } from './progress.mjs';
import { removeRuntimeEnv, writeRuntimeEnv } from './launcher/runtime-env.mjs';
import { sandboxRuntimeEnv } from './sandbox-env.mjs';
import { startServices } from './services/services.mjs';
import { setup } from './setup.mjs';
import { printSummary } from './launcher/summary.mjs';
import { Supervisor } from './launcher/supervisor.mjs';
import { together } from './together.mjs';
import { until } from './until.mjs';
import { stateDir } from './workspace.mjs';

// npm start: from a bare clone to a running Gatehouse, and back to nothing at Ctrl-C.
const READY_MS = 90_000;
const ASK_ANYWAY_MS = 5_000;
const began = performance.now();
const host = process.env.HOST || '127.0.0.1';
const port = Number(process.env.PORT || 3000);
const url = `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`;
const recordFile = join(stateDir, 'children.json');
const children = new Children(recordFile);

/** @type {'starting' | 'ready' | 'stopping'} */
let state = 'starting';
let holdsLock = false;
let askedAt = performance.now();
/** @type {Supervisor | undefined} */
let supervisor;

async function start() {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new Error(`PORT must be a number from 1 to 65535, not "${process.env.PORT}"`);
  if (process.getuid?.() !== 0) throw new Error('Gatehouse starts sandboxes, for which it needs Linux and root: run npm start as root.');
  await acquireLauncherLock(() => ({ pid: process.pid, url, state }));
  holdsLock = true;
  const left = await endLeftovers(recordFile);
  if (left.length > 0) note(`Ended what an earlier start left behind: ${left.join(', ')}`);
  if (!(await isPortFree(host, port))) throw new Error(`Port ${port} is in use. Stop what uses it, or take another: PORT=${port + 1} npm start`);

  await setup();
  const secrets = devSecrets();
  const passwords = { postgres: secrets.POSTGRES_PASSWORD, redis: secrets.REDIS_PASSWORD };
  const [services, runtime] = await together([
    step('Postgres and Redis ready', () => startServices(children, stateDir, { durable: true, passwords })),
    step('Sandbox runtime found', sandboxRuntimeEnv),
    step('Built', build),
  ]);
  writeRuntimeEnv({ ...services, GATEHOUSE_TRANSPORT_KEY: secrets.GATEHOUSE_TRANSPORT_KEY });
  makeSandboxRunDir();

  await step('Gatehouse is up', () => startApps(apps({ services, secrets, runtime, host, port })));
  const key = await step('Demo team, key and agent', () => ensureDemo(url, services));
  if (isStopping()) return;
  state = 'ready';
  printSummary({ url, key, devEnvFile, elapsedMs: performance.now() - began });
}

async function startApps(all) {
  const format = logFormatter(all.map(({ name }) => name), {
    colour: process.stdout.isTTY === true && !process.env.NO_COLOR,
    raw: process.env.LOG_FORMAT === 'json',
  });
  supervisor = new Supervisor(children, { format, write: note, giveUp: () => void stop(1) });
  askedAt = performance.now();
  for (const app of all) supervisor.start(app);
  const ready = await until(() => isStopping() || (worthAsking() && answersReady()), { deadlineMs: READY_MS, everyMs: 50 });
  if (isStopping()) throw new Error('Stopped before it was up.');
  if (!ready) throw new Error(`${url}/ready has not answered well for ${READY_MS / 1000} s.`);
}

const isStopping = () => state === 'stopping';

/** Each question before its time is a warning in the gateway's log. A high LOG_LEVEL hides who is ready, so it is asked now and then in any case. */
function worthAsking() {
  if (!supervisor.allReady && performance.now() - askedAt < ASK_ANYWAY_MS) return false;
  askedAt = performance.now();
  return true;
}

/** Refused while it is not up yet; anything else but 200 means that something it needs is not. */
const answersReady = () =>
  fetch(`${url}/ready`, { signal: AbortSignal.timeout(2_000) }).then(
    response => response.ok,
    () => false,
  );

async function stop(exitCode) {
  if (isStopping()) return;
  state = 'stopping';
  endCommands();
  await supervisor?.stop(STOP_ORDER);
  await children.close();
  if (holdsLock) removeRuntimeEnv();
  process.exit(exitCode);
}

onInterrupt({
  stop: () => {
    note('Stopping…');
    void stop(0);
  },
  force: () => {
    children.killAll();
    process.exit(1);
  },
});

try {
  await start();
} catch (error) {
  // A step that fails because everything is being stopped is no news.
  if (!isStopping()) {
    printFailure(error);
    await stop(1);
  }
}
