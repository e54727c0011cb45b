import { buildProgram } from './program.js';

try {
  await buildProgram(process.env, process.stdout).parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
