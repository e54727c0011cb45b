import { expect } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { LocalDriver } from '../local/local.driver.js';
import type { DriverLogger } from '../driver-logger.js';
import type { LocalDriverOptions } from '../local/options.js';

const REPOSITORY = resolve(import.meta.dirname, '../../../../..');
const AGENT_DIR = join(REPOSITORY, 'apps/sandbox/dist/agent');
const UID_RANGE = 65_536 * 64;

/** A node of its own for one test: own name, directories and host ids, so that tests can run beside each other. */
export interface LocalNode {
  options: LocalDriverOptions;
  log: DriverLogger & { lines: string[] };
  open(changes?: Partial<LocalDriverOptions>): Promise<LocalDriver>;
  /** What the node left on the machine; every list is empty when it cleaned up. */
  leftovers(): Record<'processes' | 'cgroups' | 'mounts' | 'loopDevices' | 'boxes' | 'runtimeStates', string[]>;
  remove(): void;
}

export function makeLocalNode(): LocalNode {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-driver-node-'));
  chmodSync(directory, 0o711); // the sandboxes' ids have to pass
  const { runtime, init } = findRuntime();
  const options: LocalDriverOptions = {
    nodeId: `test-${randomBytes(6).toString('hex')}`,
    dataDir: join(directory, 'data'),
    runDir: join(directory, 'run'),
    runtimePath: runtime,
    initPath: init,
    agentDir: compiledAgent(),
    uidBase: 1_073_741_824 + randomInt(0, 512) * UID_RANGE,
  };
  const log = memoryLog();
  return {
    options,
    log,
    open: changes => LocalDriver.open({ ...options, ...changes }, log),
    leftovers: () => leftovers(options, directory),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Asserts that a node is as clean as if it had never been. */
export function expectNothingLeft(node: LocalNode): void {
  expect(node.leftovers()).toEqual({ processes: [], cgroups: [], mounts: [], loopDevices: [], boxes: [], runtimeStates: [] });
}

/** `SANDBOX_RUNTIME` and `SANDBOX_INIT`, else what the repository's own tool finds or unpacks. */
export function findRuntime(): { runtime: string; init: string } {
  const { SANDBOX_RUNTIME: runtime, SANDBOX_INIT: init } = process.env;
  if (runtime && init) return { runtime, init };
  const tool = join(REPOSITORY, 'tools/sandbox-runtime.mjs');
  return JSON.parse(execFileSync(process.execPath, [tool, join(REPOSITORY, '.gatehouse/runtime')], { encoding: 'utf8' })) as { runtime: string; init: string };
}

export function compiledAgent(): string {
  if (!existsSync(join(AGENT_DIR, 'agent.cjs'))) throw new Error('The agent is not compiled: node node_modules/typescript/bin/tsc -b apps/sandbox/agent');
  return AGENT_DIR;
}

export function memoryLog(): DriverLogger & { lines: string[] } {
  const lines: string[] = [];
  const write = (level: string) => (fields: object, message: string) => void lines.push(`${level} ${message} ${JSON.stringify(fields, errorsAsText)}`);
  return { lines, info: write('info'), warn: write('warn'), error: write('error') };
}

function errorsAsText(_key: string, value: unknown): unknown {
  return value instanceof Error ? `${value.stack}${value.cause ? ` caused by ${String(value.cause)}` : ''}` : value;
}

function leftovers({ nodeId, uidBase = 0, runDir }: LocalDriverOptions, directory: string): ReturnType<LocalNode['leftovers']> {
  const processes = listDirectory('/proc').filter(pid => /^\d+$/.test(pid)).filter(pid => {
    const status = readText(`/proc/${pid}/status`);
    const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    return !/^State:\s+Z/m.test(status) && uid >= uidBase && uid < uidBase + UID_RANGE;
  });
  const hierarchies = ['', ...listDirectory('/sys/fs/cgroup')].map(name => join('/sys/fs/cgroup', name, 'gatehouse', nodeId));
  return {
    processes,
    cgroups: hierarchies.flatMap(tree => listDirectory(tree).filter(name => existsSync(join(tree, name, 'cgroup.procs')))),
    mounts: readText('/proc/self/mountinfo').split('\n').filter(line => line.includes(directory)),
    loopDevices: listDirectory('/sys/block').filter(name => readText(`/sys/block/${name}/loop/backing_file`).startsWith(directory)),
    boxes: listDirectory(join(runDir, 'boxes')),
    runtimeStates: listDirectory(join(runDir, 'runtime')),
  };
}

function listDirectory(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (_gone) {
    return '';
  }
}
