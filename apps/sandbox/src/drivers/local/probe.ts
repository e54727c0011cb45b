import { access, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DriverError } from '../driver-error.js';
import type { Feature, ProbeReport, SandboxHandle, SandboxSpec } from '../sandbox.driver.js';
import type { AgentRuntimeParts } from './agent-runtime.js';
import { LIMITS_MIN } from './bundle.js';
import { cgroupVersion } from './cgroups.js';
import { findProgram } from './find-program.js';
import type { ResolvedOptions } from './options.js';
import { CURRENT_RUNC, lacksFixes, runtimeVersion } from './runtime-version.js';
import { HOST_TEMPLATE, type Templates } from './templates.js';

const MIB = 1024 * 1024;
const TOOLS = { unshare: 'util-linux', mount: 'mount', 'mkfs.ext4': 'e2fsprogs', e2fsck: 'e2fsprogs', ldd: 'libc-bin' };
const CONTROLLERS: Readonly<Record<string, Feature>> = { memory: 'memory', pids: 'pids', cpu: 'cpu', freezer: 'pause' };

/**
 * Looks for every part, and when all are there starts a sandbox, runs a command in it and removes it again: that alone
 * shows that seccomp, id maps, cgroups and the disk work together here.
 */
export async function probeHost(options: ResolvedOptions, quota: boolean, templates: Pick<Templates, 'problems'>, create: (spec: SandboxSpec) => Promise<SandboxHandle>): Promise<ProbeReport> {
  const features = new Set<Feature>([...(await controllerFeatures()), 'two-uids', ...(quota ? (['disk-quota'] as const) : []), ...(cgroupVersion === 2 ? (['per-process-kill'] as const) : [])]);
  const problems = (await Promise.all([privileges(), missingParts(options), runtimePart(options), tools(), kernel(), passable(options.runDir), templates.problems(options.template)])).flat();
  if (options.template !== HOST_TEMPLATE) problems.push(...(await passable(options.dataDir)));
  for (const feature of ['memory', 'pids', 'cpu'] as const) {
    if (!features.has(feature)) problems.push(`No cgroup controller for ${feature}: boot with it enabled, or give the container of this service a writable cgroup tree.`);
  }
  if (options.requireQuota && !quota) {
    problems.push('Disks have no quota, because there is no /dev/loop-control: modprobe loop, and give the container of this service /dev/loop-control and its loop devices.');
  }
  if (problems.length === 0) problems.push(...(await trialSandbox(options.template, create)));
  return { ok: problems.length === 0, isolation: basename(options.runtimePath) === 'runsc' ? 'gvisor' : 'namespace', features, problems, warnings: await oldRuntime(options.runtimePath) };
}

/** Everything but root is refused for now: without it there are no limits on processes, memory and disk. */
function privileges(): string[] {
  return process.getuid?.() === 0 ? [] : ['The local driver needs root: run the sandbox service as root, or in a container that does.'];
}

async function runtimePart({ runtimePath }: ResolvedOptions): Promise<string[]> {
  return (await findProgram(runtimePath)) ? [] : [`No container runtime ${runtimePath}: apt-get install runc`];
}

/** Of what every sandbox runs first, whoever starts it. */
export async function missingParts({ initPath, nodePath, agentDir }: AgentRuntimeParts): Promise<string[]> {
  const checks = [
    [await findProgram(initPath), `pid 1 at ${initPath}`, 'apt-get install tini'],
    [await findProgram(nodePath), `node at ${nodePath}`, 'set nodePath to an installed one'],
    [await exists(join(agentDir, 'agent.cjs')), `compiled agent at ${agentDir}`, 'npm run build'],
  ] as const;
  const missing = checks.map(([found, what, mend]) => (found ? [] : [`No ${what}: ${mend}`]));
  return missing.flat();
}

/** Their holes need a mount point or an image of the attacker's own, which a read-only root does not offer. */
async function oldRuntime(path: string): Promise<string[]> {
  const version = await runtimeVersion(path);
  return version && lacksFixes(version) ? [`${version.name} ${version.number} lacks fixes for CVE-2024-45310, CVE-2025-31133 and later ones: install ${version.name} ${CURRENT_RUNC} or newer and name it in SANDBOX_RUNTIME`] : [];
}

async function tools(): Promise<string[]> {
  const missing = await Promise.all(Object.entries(TOOLS).map(async ([tool, debianPackage]) => ((await findProgram(tool)) ? [] : [`No ${tool} on this machine: apt-get install ${debianPackage}`])));
  return missing.flat();
}

async function kernel(): Promise<string[]> {
  if (process.platform !== 'linux') return ['The local driver needs Linux.'];
  const namespaces = Number(await readFile('/proc/sys/user/max_user_namespaces', 'latin1').catch(() => '0')); // a kernel without them
  return namespaces > 0 ? [] : ['User namespaces are off: sysctl -w user.max_user_namespaces=10000'];
}

/** The sandbox's root is nobody special on the host, yet has to reach its root directory. */
export async function passable(runDir: string): Promise<string[]> {
  const problems: string[] = [];
  for (let directory = runDir; ; directory = dirname(directory)) {
    if (((await stat(directory)).mode & 0o001) === 0) problems.push(`Sandboxes cannot pass ${directory}: chmod o+x ${directory}`);
    if (directory === dirname(directory)) return problems;
  }
}

async function controllerFeatures(): Promise<Feature[]> {
  if (cgroupVersion === 2) {
    const controllers = (await readFile('/sys/fs/cgroup/cgroup.controllers', 'latin1')).trim().split(' ');
    return ['pause', ...controllers.map(name => CONTROLLERS[name]).filter(feature => feature !== undefined)];
  }
  const found = await Promise.all(Object.entries(CONTROLLERS).map(async ([name, feature]) => ((await exists(`/sys/fs/cgroup/${name}`)) ? feature : undefined)));
  return found.filter(feature => feature !== undefined);
}

/** Runs a sandbox for a moment. @returns why it is no good; empty when it is */
export async function trialSandbox(template: string, create: (spec: SandboxSpec) => Promise<SandboxHandle>): Promise<string[]> {
  const limits = { ...LIMITS_MIN, memoryBytes: 256 * MIB, cpuMillis: 1000 };
  try {
    const box = await create({ sandboxId: 'probe', generation: 0, template, limits, env: {} });
    try {
      const { exitCode } = await box.exec({ command: 'exit 42' });
      return exitCode === 42 ? [] : ['A trial sandbox ran its command wrongly.'];
    } finally {
      await box.destroy();
    }
  } catch (error) {
    const cause = error instanceof DriverError && error.cause instanceof Error ? `: ${inShort(error.cause.message)}` : '';
    return [`A trial sandbox failed: ${(error as Error).message}${cause}`];
  }
}

/** Of lines of a runtime's log, what the last one says. */
function inShort(log: string): string {
  const [, said] = [...log.matchAll(/msg="((?:[^"\\]|\\.)*)"/g)].at(-1) ?? [];
  return said?.replaceAll('\\"', '"') ?? log;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
