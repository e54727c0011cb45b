import { missingParts, passable, trialSandbox } from '../local/probe.js';
import { HOST_TEMPLATE } from '../local/templates.js';
import type { Feature, ProbeReport, SandboxHandle, SandboxSpec } from '../sandbox.driver.js';
import { type EngineApi, EngineError, type EngineInfo, OLDEST_API } from './engine-api.js';
import type { ResolvedOptions } from './options.js';

const NOT_A_REMAP = 'root in a sandbox is root of this machine, held by capabilities and filters alone';

/**
 * Asks the engine for what the isolation is made of, and when all is there starts a sandbox, runs a command in it and removes it
 * again.
 */
export async function probeEngine(options: ResolvedOptions, engine: EngineApi, create: (spec: SandboxSpec) => Promise<SandboxHandle>): Promise<ProbeReport> {
  const report: ProbeReport = { ok: false, isolation: isolationOf(options.runtime), features: new Set(), problems: [], warnings: [] };
  try {
    const [{ ApiVersion }, info] = await Promise.all([engine.version(), engine.info()]);
    report.features = featuresOf(info);
    report.problems.push(...rights(), ...ageProblems(ApiVersion), ...engineProblems(info, options), ...(await imageProblems(options.image, engine)));
    if (uidBaseOf(info) === null && !isRootless(info)) (options.requireUserNamespace ? report.problems : report.warnings).push(`The Docker Engine maps no user ids, so ${NOT_A_REMAP}: set "userns-remap": "default" in /etc/docker/daemon.json and restart it`);
    (options.requireQuota ? report.problems : report.warnings).push('Disks have no quota with the Docker Engine: use the driver local, or accept that one sandbox may fill the disk of all with SANDBOX_UNLIMITED_DISKS=true');
  } catch (error) {
    report.problems.push(`The Docker Engine does not answer at ${options.socketPath} (${(error as NodeJS.ErrnoException).code ?? (error as Error).message}): apt-get install docker.io, or name its socket in SANDBOX_DOCKER_HOST`);
  }
  report.problems.push(...(await missingParts(options)), ...(await passable(options.runDir)), ...(await passable(options.dataDir)));
  if (report.problems.length === 0) report.problems.push(...(await trialSandbox(options.image, create)));
  return { ...report, ok: report.problems.length === 0 };
}

/**
 * The host id of root in containers, null where it is root of the host. The engine keeps the data of each mapping in a directory
 * named by it, `/var/lib/docker/165536.165536`, and says it nowhere else.
 */
export function uidBaseOf({ SecurityOptions, DockerRootDir }: Pick<EngineInfo, 'SecurityOptions' | 'DockerRootDir'>): number | null {
  if (!SecurityOptions?.some(option => option.startsWith('name=userns'))) return null;
  const [, uid] = /\/(\d+)\.\d+\/?$/.exec(DockerRootDir) ?? [];
  return uid === undefined ? null : Number(uid);
}

function rights(): string[] {
  return process.getuid?.() === 0 ? [] : ['The docker driver needs root, to give sandboxes their directories: run the sandbox service as root.'];
}

function ageProblems(version: string): string[] {
  const [ours, wanted] = [version, OLDEST_API].map(text => text.split('.').map(Number)) as [number[], number[]];
  const old = (ours[0] ?? 0) < (wanted[0] ?? 0) || (ours[0] === wanted[0] && (ours[1] ?? 0) < (wanted[1] ?? 0));
  return old ? [`The Docker Engine speaks API ${version}, and ${OLDEST_API} is needed: upgrade it to 20.10 or newer`] : [];
}

function engineProblems(info: EngineInfo, { runtime }: ResolvedOptions): string[] {
  const problems: string[] = [];
  if (info.OSType !== 'linux') problems.push('The Docker Engine runs no Linux containers');
  if (isRootless(info)) problems.push('The Docker Engine is rootless, where sandboxes have no ids of their own: use one that root runs, with userns-remap');
  if (!info.SecurityOptions?.some(option => option.startsWith('name=seccomp'))) problems.push('The Docker Engine filters no system calls: boot a kernel with CONFIG_SECCOMP_FILTER, and an engine built with seccomp');
  if (!Object.hasOwn(info.Runtimes, runtime)) problems.push(`The Docker Engine has no runtime "${runtime}": name one of ${Object.keys(info.Runtimes).join(', ')} in SANDBOX_RUNTIME`);
  for (const feature of ['memory', 'pids', 'cpu'] as const) {
    if (!featuresOf(info).has(feature)) problems.push(`The Docker Engine cannot limit ${feature}: boot with that cgroup controller enabled`);
  }
  return problems;
}

async function imageProblems(image: string, engine: EngineApi): Promise<string[]> {
  if (image === HOST_TEMPLATE) return ['With the driver docker a template is an image: docker import <root.tar> sandbox:1, and SANDBOX_TEMPLATE=sandbox:1'];
  try {
    const volumes = Object.keys((await engine.image(image)).Config?.Volumes ?? {});
    return volumes.length === 0 ? [] : [`Image "${image}" declares volumes (${volumes.join(', ')}), which nothing would limit: build it without, or docker export and docker import it`];
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return [`The Docker Engine has no image "${image}": docker pull ${image}, or docker import <root.tar> ${image}`];
    throw error;
  }
}

function featuresOf(info: EngineInfo): Set<Feature> {
  const has: Partial<Record<Feature, boolean>> = { memory: info.MemoryLimit, pids: info.PidsLimit, cpu: info.CpuCfsQuota, 'two-uids': true, pause: true };
  return new Set((Object.keys(has) as Feature[]).filter(feature => has[feature]));
}

function isRootless({ SecurityOptions }: EngineInfo): boolean {
  return SecurityOptions?.some(option => option.startsWith('name=rootless')) ?? false;
}

function isolationOf(runtime: string): ProbeReport['isolation'] {
  if (runtime.includes('runsc') || runtime.includes('gvisor')) return 'gvisor';
  return runtime.includes('kata') ? 'vm' : 'namespace';
}
