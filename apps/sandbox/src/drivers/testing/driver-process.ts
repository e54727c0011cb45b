import { transformFileSync } from '@swc/core';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { LocalDriverOptions } from '../local/options.js';

const DRIVERS = resolve(import.meta.dirname, '..');

/** Compiles the driver into `directory`, so that a process of its own can run it, and be killed. */
export function compileDriver(directory: string): void {
  for (const file of readdirSync(DRIVERS, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || /\.(spec|conformance)\.ts$|^testing\//.test(file)) continue;
    const target = join(directory, file.replace(/ts$/, 'js'));
    mkdirSync(dirname(target), { recursive: true });
    const { code } = transformFileSync(join(DRIVERS, file), { swcrc: false, jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } });
    writeFileSync(target, code);
  }
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
}

/** A process that opens a driver and then runs `script`, which sees `driver`, `LIMITS` and `say`. */
export class DriverProcess {
  private constructor(private readonly child: ChildProcess) {}

  static async start(compiled: string, options: LocalDriverOptions, script: string): Promise<{ process: DriverProcess; said: AsyncIterator<string> }> {
    const program = `
      import { LocalDriver } from ${JSON.stringify(join(compiled, 'local/local.driver.js'))};
      const say = line => process.stdout.write(line + '\\n');
      const quiet = () => undefined;
      const LIMITS = { memoryBytes: 256 * 1024 * 1024, cpuMillis: 1000, pids: 160, diskBytes: 64 * 1024 * 1024 };
      const driver = await LocalDriver.open(${JSON.stringify(options)}, { info: quiet, warn: quiet, error: quiet });
      await driver.reconcile();
      say('open');
      ${script}
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const said = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await said.next();
    if (first.value !== 'open') throw new Error('the driver process did not open its driver');
    return { process: new DriverProcess(child), said };
  }

  /** SIGKILL, as a crash would end it. */
  async crash(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}
