import 'reflect-metadata';
import { ConfigError } from '@gatehouse/platform';
import { buildProgram } from './program.js';

try {
  await buildProgram(process.env, process.stdout).parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof ConfigError || error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
