import type { PoolOptions } from './pool.js';

/** Everything the local driver is told. It reads no environment of its own. */
export interface LocalDriverOptions {
  /** Names this node among others; letters, digits, `-`, `_` and `.`, at most 64. */
  nodeId: string;
  /** Disks, kept over reboots. */
  dataDir: string;
  /** Sockets and state of running sandboxes; best a tmpfs. Every parent must be passable (o+x) for the sandboxes' own ids. */
  runDir: string;
  /** An OCI runtime: runc, or one with its command line. */
  runtimePath: string;
  /** pid 1 of every sandbox: a statically linked tini. */
  initPath: string;
  /** The compiled agent (`agent.cjs` and its parts). */
  agentDir: string;
  /** The node that runs the agent. Default: the one that runs the service. */
  nodePath?: string;
  /** First host id of the ranges sandboxes get, 65,536 ids each. Default 1073741824. */
  uidBase?: number;
  /** What sandboxes start from; `probe` tries it. Default `host`. */
  template?: string;
  /** Where other templates were installed. Default: `templates` in `dataDir`. */
  templatesDir?: string;
  /** Whether there is the template `host`, which shows the programs of the machine. Default true, for machines of developers. */
  allowHostTemplate?: boolean;
  /**
   * Let `probe` fail where disks have no quota: one sandbox could then fill the disk of the whole node. Quotas need loop
   * devices. Default false, for machines of developers.
   */
  requireQuota?: boolean;
  /** Default 100. */
  maxSandboxes?: number;
  /** Default: two per core. */
  maxStartsInFlight?: number;
  /** How long a start may wait for its turn. Default 20 s. */
  startQueueTimeoutMs?: number;
  /** How long a start may take once it has begun. Default 15 s. */
  startTimeoutMs?: number;
  /** How long an agent may be silent before its sandbox is given up. Default 10 s. */
  agentTimeoutMs?: number;
  /** Sandboxes that are started before anybody asks for one, where disks have a quota. Default: none. */
  pool?: PoolOptions;
}

export type ResolvedOptions = Required<Omit<LocalDriverOptions, 'templatesDir'>>;
