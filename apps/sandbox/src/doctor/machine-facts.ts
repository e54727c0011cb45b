import { access, readdir, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import type { MachineConfig } from '../config.js';
import { EngineApi } from '../drivers/docker/engine-api.js';
import { cgroupVersion } from '../drivers/local/cgroups.js';
import { findProgram } from '../drivers/local/find-program.js';
import { CURRENT_RUNC, lacksFixes, runtimeVersion } from '../drivers/local/runtime-version.js';

/** Something about this machine that decides what isolation it can offer. `mend` is a command, or what else to do. */
export interface Fact {
  name: string;
  state: 'fine' | 'lesser' | 'missing' | 'unused';
  says: string;
  mend?: string;
}

const NAMESPACES = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'];
const CONTROLLERS = ['memory', 'pids', 'cpu'];
const DOCKER_TIMEOUT_MS = 3_000;

/** Only looks; nothing is changed, nothing started. */
export async function machineFacts(config: MachineConfig): Promise<Fact[]> {
  const local = config.SANDBOX_DRIVER === 'local';
  return Promise.all([kernel(), root(), ...(local ? [runtime(config.SANDBOX_RUNTIME)] : []), init(config.SANDBOX_INIT), namespaces(), seccomp(), cgroups(), loopDevices(local), kvm(), gvisor(), docker(config)]);
}

async function kernel(): Promise<Fact> {
  return { name: 'kernel', state: process.platform === 'linux' ? 'fine' : 'missing', says: `${process.platform} ${release()}, ${process.arch}` };
}

async function root(): Promise<Fact> {
  if (process.getuid?.() === 0) return { name: 'rights', state: 'fine', says: 'root' };
  return { name: 'rights', state: 'missing', says: `user ${process.getuid?.() ?? 'unknown'}, not root`, mend: 'run this, and the sandbox service, as root' };
}

async function runtime(configured: string): Promise<Fact> {
  const name = 'runtime';
  const path = await findProgram(configured);
  if (!path) return { name, state: 'missing', says: `no ${configured}`, mend: 'apt-get install runc, or name one in SANDBOX_RUNTIME' };
  const version = await runtimeVersion(path);
  if (!version) return { name, state: 'missing', says: `${path} does not tell its version`, mend: 'name an OCI runtime in SANDBOX_RUNTIME' };
  const says = `${version.name} ${version.number} (${path})`;
  return lacksFixes(version) ? { name, state: 'lesser', says: `${says} lacks known fixes`, mend: `install ${version.name} ${CURRENT_RUNC} or newer` } : { name, state: 'fine', says };
}

async function init(configured: string): Promise<Fact> {
  const path = await findProgram(configured);
  return path ? { name: 'pid 1', state: 'fine', says: path } : { name: 'pid 1', state: 'missing', says: `no ${configured}`, mend: 'apt-get install tini' };
}

async function namespaces(): Promise<Fact> {
  const name = 'namespaces';
  const had = await readdir('/proc/self/ns').catch((): string[] => []);
  const lacking = NAMESPACES.filter(each => !had.includes(each));
  if (lacking.length > 0) return { name, state: 'missing', says: `the kernel has none for ${lacking.join(', ')}`, mend: 'boot a kernel that has them' };
  const users = Number(await read('/proc/sys/user/max_user_namespaces'));
  if (!(users > 0)) return { name, state: 'missing', says: 'user namespaces are off', mend: 'sysctl -w user.max_user_namespaces=10000' };
  return { name, state: 'fine', says: `${NAMESPACES.join(' ')}, at most ${users} of users` };
}

async function seccomp(): Promise<Fact> {
  const actions = await read('/proc/sys/kernel/seccomp/actions_avail');
  if (actions.includes('errno')) return { name: 'seccomp', state: 'fine', says: 'filters, default deny' };
  return { name: 'seccomp', state: 'missing', says: 'the kernel filters no system calls', mend: 'boot a kernel with CONFIG_SECCOMP_FILTER' };
}

async function cgroups(): Promise<Fact> {
  const name = 'cgroups';
  const root = '/sys/fs/cgroup';
  const had = cgroupVersion === 2 ? (await read(join(root, 'cgroup.controllers'))).trim().split(' ') : await readdir(root).catch((): string[] => []);
  const lacking = CONTROLLERS.filter(each => !had.includes(each));
  if (lacking.length > 0) return { name, state: 'missing', says: `v${cgroupVersion}, without ${lacking.join(', ')}`, mend: 'boot with these controllers enabled, or give the container of the service a writable cgroup tree' };
  const says = `v${cgroupVersion}: ${CONTROLLERS.join(' ')}`;
  if (cgroupVersion === 2) return { name, state: 'fine', says: `${says}, one for each command` };
  return { name, state: 'lesser', says: `${says}; commands share one, so the memory of many can end their sandbox`, mend: 'boot with systemd.unified_cgroup_hierarchy=1' };
}

async function loopDevices(local: boolean): Promise<Fact> {
  const name = 'disk quota';
  if (!local) return { name, state: 'lesser', says: 'none with the Docker Engine' };
  if (await exists('/dev/loop-control')) return { name, state: 'fine', says: 'an ext4 image on a loop device for each sandbox' };
  return { name, state: 'lesser', says: 'none: there is no /dev/loop-control', mend: 'modprobe loop; for a service in a container also its devices, as in docker-compose.yml' };
}

async function kvm(): Promise<Fact> {
  return (await exists('/dev/kvm')) ? { name: 'kvm', state: 'fine', says: 'virtual machines can be had here (Kata, through the driver docker)' } : { name: 'kvm', state: 'unused', says: 'no /dev/kvm: no virtual machines here' };
}

async function gvisor(): Promise<Fact> {
  const path = await findProgram('runsc');
  const version = path ? await runtimeVersion(path) : null;
  return version ? { name: 'gvisor', state: 'fine', says: `runsc ${version.number} (${path})` } : { name: 'gvisor', state: 'unused', says: 'no runsc' };
}

async function docker({ SANDBOX_DRIVER, SANDBOX_DOCKER_HOST }: MachineConfig): Promise<Fact> {
  const name = 'docker';
  const socketPath = SANDBOX_DOCKER_HOST.slice('unix://'.length);
  try {
    const { Version, ApiVersion } = await new EngineApi(socketPath, DOCKER_TIMEOUT_MS).version();
    return { name, state: 'fine', says: `engine ${Version}, API ${ApiVersion} (${socketPath})` };
  } catch (error) {
    const says = `does not answer at ${socketPath} (${(error as NodeJS.ErrnoException).code ?? 'no answer'})`;
    return SANDBOX_DRIVER === 'docker' ? { name, state: 'missing', says, mend: 'apt-get install docker.io, or name its socket in SANDBOX_DOCKER_HOST' } : { name, state: 'unused', says };
  }
}

function read(path: string): Promise<string> {
  return readFile(path, 'latin1').catch(() => ''); // the kernel has no such file, which is told as what is missing
}

function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}
