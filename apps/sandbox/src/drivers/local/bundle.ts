import type { SandboxLimits, SandboxSpec } from '../sandbox.driver.js';
import { AGENT_COMMAND } from './agent-runtime.js';
import { cgroupVersion, type ChangeableLimits } from './cgroups.js';
import type { SeccompProfile } from './seccomp-profile.js';
import type { Template } from './templates.js';

const MIB = 1024 * 1024;
/** Left to the agent and pid 1 where a limit would otherwise be used up by commands. */
const AGENT_MEMORY_BYTES = 64 * MIB;
export const AGENT_PIDS = 64;
const IDS = 65_536;
const TMPFS_BYTES_MAX = 64 * MIB;
export const CPU_PERIOD_USEC = 100_000;
export const CAPABILITIES = ['CAP_SETUID', 'CAP_SETGID', 'CAP_KILL'];
export const NOFILE = 4_096;
/** An environment of 3 MB fits. */
export const STACK_BYTES = 32 * MIB;
export const AGENT_ENV = ['PATH=/usr/local/bin:/usr/bin:/bin', 'LANG=C.UTF-8', 'GATEHOUSE_AGENT_SOCKET=/run/gatehouse/agent.sock', 'GATEHOUSE_COMMAND_UID=1000'];

export const LIMITS_MIN: SandboxLimits = { memoryBytes: 96 * MIB, cpuMillis: 10, pids: 2 * AGENT_PIDS, diskBytes: 16 * MIB };

/** Every path comes from configuration or was made by the driver; the runtime opens them with the rights of the host. */
export interface BundleInput {
  template: Template;
  seccomp: SeccompProfile;
  limits: SandboxLimits;
  uidBase: number;
  cgroupsPath: string;
  agentRuntimeDir: string;
  homeDir: string;
  agentDir: string;
  egressDir: string;
  /** The runtime hands the agent a descriptor to say that it is ready. */
  readyFd: number | null;
}

interface Mount {
  destination: string;
  source: string;
  type: string;
  options: string[];
}

/** The OCI bundle of a sandbox (`config.json`, runtime specification 1.0.2). */
export function makeBundle(input: BundleInput): object {
  const { limits, uidBase } = input;
  const mapping = [{ containerID: 0, hostID: uidBase, size: IDS }];
  return {
    ociVersion: '1.0.2',
    hostname: 'sandbox',
    root: { path: input.template.rootPath, readonly: input.template.readonlyRoot },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      cwd: '/',
      noNewPrivileges: true,
      oomScoreAdj: 500,
      args: AGENT_COMMAND,
      env: [...AGENT_ENV, ...(input.readyFd === null ? [] : [`GATEHOUSE_READY_FD=${input.readyFd}`])],
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES, inheritable: [], ambient: [] },
      rlimits: [
        rlimit('NOFILE', NOFILE),
        rlimit('CORE', 0),
        rlimit('STACK', STACK_BYTES),
        rlimit('NPROC', limits.pids - AGENT_PIDS), // counts the command user only, so the agent can always fork
      ],
    },
    mounts: mounts(input),
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network', 'cgroup', 'user'].map(type => ({ type })),
      uidMappings: mapping,
      gidMappings: mapping,
      cgroupsPath: input.cgroupsPath,
      resources: resources(limits),
      sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' },
      seccomp: input.seccomp,
      rootfsPropagation: 'rslave',
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
    },
  };
}

/** What a container keeps from its start to its end, as a name for all that have the same. */
export function fixedAtStart({ template, limits }: Pick<SandboxSpec, 'template' | 'limits'>): string {
  return [template, limits.diskBytes, limits.pids, tmpfsBytes(limits)].join(' '); // RLIMIT_NPROC goes by the pids
}

/** The rest of the limits, in the kernel's terms. */
export function changeableLimits(limits: SandboxLimits): ChangeableLimits {
  return { memoryBytes: containerMemoryBytes(limits), cpuQuotaUsec: Math.round((limits.cpuMillis * CPU_PERIOD_USEC) / 1000), cpuPeriodUsec: CPU_PERIOD_USEC };
}

/** The container's memory limit. With cgroup v2 the agent sets the user's limit one level below it. */
export function containerMemoryBytes({ memoryBytes }: SandboxLimits): number {
  return cgroupVersion === 2 ? memoryBytes + AGENT_MEMORY_BYTES : memoryBytes;
}

function resources(limits: SandboxLimits): object {
  const { memoryBytes, cpuQuotaUsec, cpuPeriodUsec } = changeableLimits(limits);
  return {
    devices: [{ allow: false, access: 'rwm' }],
    memory: { limit: memoryBytes, swap: memoryBytes },
    pids: { limit: limits.pids },
    cpu: { quota: cpuQuotaUsec, period: cpuPeriodUsec },
  };
}

function mounts(input: BundleInput): Mount[] {
  const tmpfs = tmpfsBytes(input.limits);
  return [
    mount('/proc', 'proc', 'proc', 'nosuid', 'noexec', 'nodev'),
    // Up to three named pipes for each of the 256 commands the agent runs at once.
    mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'strictatime', 'mode=755', 'size=64k', 'nr_inodes=1024'),
    mount('/dev/pts', 'devpts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'),
    // A size alone lets empty files eat the memory limit, and killing processes does not free them: hence nr_inodes.
    mount('/dev/shm', 'shm', 'tmpfs', 'nosuid', 'nodev', 'noexec', 'mode=1777', `size=${tmpfs}`, 'nr_inodes=4096'),
    mount('/tmp', 'tmpfs', 'tmpfs', 'nosuid', 'nodev', 'mode=1777', `size=${tmpfs}`, 'nr_inodes=16384'),
    ...input.template.hostBinds.map(path => mount(path, path, 'bind', 'rbind', 'ro', 'nosuid', 'nodev')),
    mount('/opt/gatehouse', input.agentRuntimeDir, 'bind', 'bind', 'ro', 'nosuid', 'nodev'),
    mount('/home/user', input.homeDir, 'bind', 'bind', 'nosuid', 'nodev'),
    mount('/run/gatehouse', input.agentDir, 'bind', 'bind', 'nosuid', 'nodev', 'noexec'),
    mount('/run/gatehouse-egress', input.egressDir, 'bind', 'bind', 'ro', 'nosuid', 'nodev', 'noexec'),
    ...(cgroupVersion === 2 ? [mount('/sys/fs/cgroup', 'cgroup', 'cgroup', 'nosuid', 'noexec', 'nodev')] : []),
  ];
}

/** Pages of a tmpfs count as memory: full ones must leave the agent its share. */
export function tmpfsBytes({ memoryBytes }: SandboxLimits): number {
  return Math.min(TMPFS_BYTES_MAX, Math.floor((memoryBytes - AGENT_MEMORY_BYTES) / 2));
}

function mount(destination: string, source: string, type: string, ...options: string[]): Mount {
  return { destination, source, type, options };
}

function rlimit(name: string, value: number): object {
  return { type: `RLIMIT_${name}`, hard: value, soft: value };
}

export const MASKED_PATHS = [
  '/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug',
  '/proc/scsi', '/proc/interrupts', '/sys/firmware', '/sys/devices/virtual/powercap',
];
export const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
