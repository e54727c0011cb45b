import './node-version.mjs';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { devEnvFile } from './launcher/demo.mjs';
import { readEnvFile } from './env-file.mjs';
import { runningLauncher } from './launcher/launcher-lock.mjs';
import { runtimeEnvFile } from './launcher/runtime-env.mjs';
import { root } from './workspace.mjs';

// npm run gatehouse -- keys create --team acme: the administrator's command line, on the installation that DATABASE_URL and
// REDIS_URL name, or else on the one `npm start` runs from this folder.
const program = join(root, 'apps/gateway/dist/cli/main.js');
const problem = await obstacle();
if (problem) {
  console.error(problem);
  process.exitCode = 1;
} else {
  const env = { ...readEnvFile(devEnvFile), ...readEnvFile(runtimeEnvFile), ...process.env };
  const child = spawn(process.execPath, [program, ...process.argv.slice(2)], { stdio: 'inherit', env });
  child.once('error', error => {
    console.error(error.message);
    process.exitCode = 1;
  });
  child.once('exit', code => (process.exitCode = code ?? 1));
}

async function obstacle() {
  if (!existsSync(program)) return 'Gatehouse is not built yet: run npm start, or npm run build.';
  const { DATABASE_URL, REDIS_URL } = process.env;
  if (DATABASE_URL && REDIS_URL) return undefined;
  if (await runningLauncher()) return existsSync(runtimeEnvFile) ? undefined : 'Gatehouse is still starting: try again in a moment.';
  return 'Gatehouse does not run here: start it with npm start in another terminal, or set DATABASE_URL and REDIS_URL.';
}
