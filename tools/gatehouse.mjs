import './node-version.mjs';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sandboxMachineEnv } from './launcher/apps.mjs';
import { devEnvFile } from './launcher/demo.mjs';
import { readEnvFile } from './env-file.mjs';
import { runningLauncher } from './launcher/launcher-lock.mjs';
import { runtimeEnvFile } from './launcher/runtime-env.mjs';
import { sandboxRuntimeEnv } from './sandbox-env.mjs';
import { root } from './workspace.mjs';

// npm run gatehouse -- keys create --team acme: the administrator's command line, on the installation that DATABASE_URL and
// REDIS_URL name, or else on the one `npm start` runs from this folder.
// npm run gatehouse -- sandbox doctor: what concerns the machine of a sandbox node. It is configured as the node's service: by the
// environment where that names a NODE_ID, or else as `npm start` does it.
const [first, ...rest] = process.argv.slice(2);
const ofMachine = first === 'sandbox';
const program = join(root, `apps/${ofMachine ? 'sandbox' : 'gateway'}/dist/cli/main.js`);
const problem = await obstacle();
if (problem) {
  console.error(problem);
  process.exitCode = 1;
} else {
  const env = { ...(ofMachine ? await machineEnv() : { ...readEnvFile(devEnvFile), ...readEnvFile(runtimeEnvFile) }), ...process.env };
  const child = spawn(process.execPath, [program, ...(ofMachine ? rest : process.argv.slice(2))], { stdio: 'inherit', env });
  child.once('error', error => {
    console.error(error.message);
    process.exitCode = 1;
  });
  child.once('exit', code => (process.exitCode = code ?? 1));
}

async function obstacle() {
  if (!existsSync(program)) return 'Gatehouse is not built yet: run npm start, or npm run build.';
  const { DATABASE_URL, REDIS_URL } = process.env;
  if (ofMachine || (DATABASE_URL && REDIS_URL)) return undefined;
  if (await runningLauncher()) return existsSync(runtimeEnvFile) ? undefined : 'Gatehouse is still starting: try again in a moment.';
  return 'Gatehouse does not run here: start it with npm start in another terminal, or set DATABASE_URL and REDIS_URL.';
}

async function machineEnv() {
  if (process.env.NODE_ID) return {};
  const runtime = await sandboxRuntimeEnv().catch(() => ({})); // the doctor tells what is missing
  return { NODE_ENV: 'development', ...sandboxMachineEnv, ...runtime };
}
