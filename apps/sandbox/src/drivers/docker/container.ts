import type { SandboxLimits } from '../sandbox.driver.js';
import { AGENT_COMMAND } from '../local/agent-runtime.js';
import { AGENT_ENV, AGENT_PIDS, CAPABILITIES, CPU_PERIOD_USEC, MASKED_PATHS, NOFILE, READONLY_PATHS, STACK_BYTES, tmpfsBytes } from '../local/bundle.js';
import type { SeccompProfile } from '../local/seccomp-profile.js';

/** Every path was made by the driver; the engine opens them with the rights of the host. */
export interface ContainerInput {
  image: string;
  runtime: string;
  labels: Record<string, string>;
  seccomp: SeccompProfile;
  limits: SandboxLimits;
  /** Whether the engine gives containers ids of their own (userns-remap). */
  remapped: boolean;
  agentRuntimeDir: string;
  homeDir: string;
  agentDir: string;
  egressDir: string;
  /** Files that take the place of those of the image, by their path inside. */
  files: Record<string, string>;
}

/** The agent says on its stdout that it is ready: the engine passes no other descriptor on. */
const READY_FD = 1;
/** Of an image these would reach the agent. A name without `=` is taken out. */
const NOT_OF_THE_IMAGE = ['LD_PRELOAD', 'LD_LIBRARY_PATH', 'NODE_OPTIONS', 'NODE_PATH'];

/** Body of `POST /containers/create` (Engine API 1.41). The same isolation as the local driver's bundle, in the engine's words. */
export function containerBody(input: ContainerInput): object {
  const { limits, remapped } = input;
  const tmpfs = tmpfsBytes(limits);
  return {
    Image: input.image,
    Entrypoint: [],
    Cmd: AGENT_COMMAND,
    Env: [...AGENT_ENV, `GATEHOUSE_READY_FD=${READY_FD}`, ...NOT_OF_THE_IMAGE],
    User: '0:0',
    WorkingDir: '/',
    Hostname: 'sandbox',
    NetworkDisabled: true,
    Healthcheck: { Test: ['NONE'] },
    Labels: input.labels,
    HostConfig: {
      Runtime: input.runtime,
      NetworkMode: 'none',
      IpcMode: 'none', // a namespace of its own, without the engine's /dev/shm, which has no bound on files
      CgroupnsMode: 'private',
      CapDrop: ['ALL'],
      CapAdd: CAPABILITIES.map(name => name.slice('CAP_'.length)),
      SecurityOpt: ['no-new-privileges', `seccomp=${JSON.stringify(input.seccomp)}`],
      ReadonlyRootfs: true,
      Tmpfs: {
        '/dev/shm': `rw,nosuid,nodev,noexec,mode=1777,size=${tmpfs},nr_inodes=4096`,
        '/tmp': `rw,nosuid,nodev,exec,mode=1777,size=${tmpfs},nr_inodes=16384`,
      },
      Mounts: [
        bind(input.agentRuntimeDir, '/opt/gatehouse', true),
        bind(input.homeDir, '/home/user', false),
        bind(input.agentDir, '/run/gatehouse', false),
        bind(input.egressDir, '/run/gatehouse-egress', true),
        ...Object.entries(input.files).map(([inside, path]) => bind(path, inside, true)),
      ],
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      PidsLimit: limits.pids,
      CpuPeriod: CPU_PERIOD_USEC, // not NanoCpus, which is refused beyond the processors there are
      CpuQuota: Math.round((limits.cpuMillis * CPU_PERIOD_USEC) / 1000),
      OomScoreAdj: 500,
      Ulimits: [
        ulimit('nofile', NOFILE),
        ulimit('core', 0),
        ulimit('stack', STACK_BYTES),
        // Counts per user and user namespace: without one of its own, all sandboxes would share the count.
        ...(remapped ? [ulimit('nproc', limits.pids - AGENT_PIDS)] : []),
      ],
      MaskedPaths: MASKED_PATHS,
      ReadonlyPaths: READONLY_PATHS,
      LogConfig: { Type: 'none' },
      RestartPolicy: { Name: 'no' },
    },
  };
}

function bind(source: string, target: string, readonly: boolean): object {
  return { Type: 'bind', Source: source, Target: target, ReadOnly: readonly, BindOptions: { Propagation: 'rprivate' } };
}

function ulimit(name: string, value: number): object {
  return { Name: name, Soft: value, Hard: value };
}
