import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { AppProcess, System } from './system.js';

/** All that the sandboxes of one node leave on its machine, by kind; names, so that a difference says what it is. */
export interface NodeTraces {
  readonly processes: readonly string[];
  readonly cgroups: readonly string[];
  readonly mounts: readonly string[];
  readonly loopDevices: readonly string[];
  /** Below the directory of running sandboxes: boxes, sockets, states of the runtime. */
  readonly running: readonly string[];
  /** Disks and homes. */
  readonly disks: readonly string[];
}

const namesIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : []);

/** What another process may end while one looks is not there. */
const readOrNothing = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

const pids = (): string[] => readdirSync('/proc').filter(name => /^\d+$/.test(name));

/** v2 has one tree, v1 one per controller. */
const cgroupRoots = (nodeId: string): string[] => ['', ...namesIn('/sys/fs/cgroup')].map(controller => join('/sys/fs/cgroup', controller, 'gatehouse', nodeId)).filter(existsSync);

/** Looks at the machine itself, not at what the service believes. */
export const tracesOf = ({ environment }: System): NodeTraces => {
  const { NODE_ID = '', SANDBOX_RUN_DIR = '', SANDBOX_DATA_DIR = '' } = environment;
  const ofNode = (text: string): boolean => text.includes(SANDBOX_RUN_DIR) || text.includes(SANDBOX_DATA_DIR);
  return {
    processes: pids().filter(pid => readOrNothing(`/proc/${pid}/cgroup`).includes(`/gatehouse/${NODE_ID}/`)).map(pid => readOrNothing(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')).filter(Boolean),
    cgroups: cgroupRoots(NODE_ID).flatMap(root => readdirSync(root, { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => join(root, name))),
    mounts: [...new Set(pids().flatMap(pid => (readOrNothing(`/proc/${pid}/cgroup`).includes('/gatehouse/') ? [] : readOrNothing(`/proc/${pid}/mountinfo`).split('\n').filter(ofNode))))],
    loopDevices: namesIn('/sys/block').filter(name => name.startsWith('loop')).map(name => readOrNothing(`/sys/block/${name}/loop/backing_file`).trim()).filter(ofNode),
    running: ['boxes', 'runtime'].flatMap(part => namesIn(join(SANDBOX_RUN_DIR, part))),
    disks: ['disks', 'homes'].flatMap(part => namesIn(join(SANDBOX_DATA_DIR, part))).filter(name => !name.startsWith('blank-')),
  };
};

export interface RunningBox {
  readonly slot: string;
  /** Row id of its sandbox; of a box that is nobody's yet, whatever its driver writes. */
  readonly sandboxId: string;
  /** pid 1 of it, on the host. */
  readonly pid: number;
}

/** The containers of a node, by what the local driver writes down of them. */
export const boxesOf = ({ environment: { SANDBOX_RUN_DIR = '' } }: System): RunningBox[] =>
  namesIn(join(SANDBOX_RUN_DIR, 'boxes')).flatMap(slot => {
    const text = readOrNothing(join(SANDBOX_RUN_DIR, 'boxes', slot, 'meta.json'));
    if (text === '') return [];
    const { sandboxId, pid } = JSON.parse(text) as { sandboxId: string; pid?: number };
    return pid === undefined ? [] : [{ slot, sandboxId, pid }];
  });

/** Bytes the kernel counts against a box. */
export const chargedMemoryOf = ({ environment: { NODE_ID = '' } }: System, { slot }: RunningBox): number => {
  const counters = cgroupRoots(NODE_ID).flatMap(root => ['memory.current', 'memory.usage_in_bytes'].map(name => join(root, slot, name)));
  const counter = counters.find(existsSync);
  return counter === undefined ? Number.NaN : Number(readFileSync(counter, 'latin1'));
};

/** How many of everything: what a loop of create and delete must leave as it was. */
export const countsOf = (traces: NodeTraces): Record<keyof NodeTraces, number> => Object.fromEntries(Object.entries(traces).map(([kind, found]) => [kind, (found as readonly string[]).length])) as Record<keyof NodeTraces, number>;

/** Open descriptors of a process by what they are. */
export const descriptorsOf = ({ pid }: AppProcess): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const fd of namesIn(`/proc/${pid}/fd`)) {
    const target = targetOf(`/proc/${pid}/fd/${fd}`);
    const kind = /^(socket|pipe|anon_inode)/.exec(target)?.[1] ?? 'file';
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
};

const targetOf = (link: string): string => {
  try {
    return readlinkSync(link);
  } catch {
    return ''; // closed meanwhile
  }
};

/** KiB that belong to this process alone. */
export const privateMemoryOf = (pid: number): number => {
  const rollup = readOrNothing(`/proc/${pid}/smaps_rollup`);
  return ['Private_Clean', 'Private_Dirty'].reduce((sum, field) => sum + Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0), 0);
};
