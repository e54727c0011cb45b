/** Everything the Docker driver is told. It reads no environment of its own. */
export interface DockerDriverOptions {
  /** Names this node among others; letters, digits, `-`, `_` and `.`, at most 64. */
  nodeId: string;
  /** The engine's unix socket. The engine and this process must see the same directories. */
  socketPath: string;
  /** Homes of sandboxes, kept over reboots. */
  dataDir: string;
  /** Sockets of running sandboxes. Every parent must be passable (o+x). */
  runDir: string;
  /** One of the engine's runtimes by name. */
  runtime: string;
  /** pid 1 of every sandbox: a statically linked tini. */
  initPath: string;
  /** The compiled agent (`agent.cjs` and its parts). */
  agentDir: string;
  /** The node that runs the agent. Default: the one that runs the service. */
  nodePath?: string;
  /** The image sandboxes start from, which `probe` tries. */
  image: string;
  /** Let `probe` fail because disks have no quota: nothing limits the home of a sandbox. Default false. */
  requireQuota?: boolean;
  /** Let `probe` fail where root in a container is root of the host. Default false. */
  requireUserNamespace?: boolean;
  /** Default 100. */
  maxSandboxes?: number;
  /** Default: two per core. */
  maxStartsInFlight?: number;
  /** How long a start may wait for its turn. Default 20 s. */
  startQueueTimeoutMs?: number;
  /** How long a start may take once it has begun. Default 30 s. */
  startTimeoutMs?: number;
  /** How long an agent may be silent before its sandbox is given up. Default 10 s. */
  agentTimeoutMs?: number;
}

export type ResolvedOptions = Required<DockerDriverOptions>;
