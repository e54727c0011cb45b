import type { Readable, Writable } from 'node:stream';

/**
 * The port through which this service owns sandboxes: places where hostile code runs with its own processes, files
 * and limits. One driver per node is chosen by name at start, never silently, and none comes without isolation.
 *
 * Everything rejects with {@link DriverError} and nothing else, except that an aborted `signal` rejects with its reason.
 */
export interface SandboxDriver {
  readonly name: 'local' | 'docker' | 'kubernetes';

  /** Tries the real thing and fails closed: `ok` is false whenever a sandbox would not start or would not be held. */
  probe(): Promise<ProbeReport>;

  /**
   * Resolves once the sandbox answers. Idempotent by (sandboxId, generation); a newer generation replaces an older one. A new
   * home is empty but for a directory `workspace`.
   */
  create(spec: SandboxSpec, signal?: AbortSignal): Promise<SandboxHandle>;

  /** The running sandbox, or null when it is gone. */
  attach(ref: BoxRef): Promise<SandboxHandle | null>;

  /** Every box of this node, known to the caller or not. */
  list(): AsyncIterable<BoxRef & { state: 'running' | 'dead' }>;

  /**
   * Removes what a crash left behind and adopts what survived it. Run at start; repeat every few minutes. What resists
   * fails nothing else: it is logged and tried again next time, and until then its sandbox is `unavailable`.
   */
  reconcile(): Promise<ReconcileReport>;

  /** From now on sandboxes may be prepared before anybody asks for them. Nothing happens where the driver does not do so. */
  warmUp?(): void;

  /** The sandboxes that have a disk on this node and do not run. */
  idleDisks(): AsyncIterable<string>;

  /** Frees the disk of a sandbox that is not running. Nothing happens when there is none. */
  removeDisk(sandboxId: string): Promise<void>;

  /** Lets go of everything; running sandboxes live on and are adopted by the next driver of this node. */
  close(): Promise<void>;
}

export type Feature =
  | 'memory'
  | 'pids'
  | 'cpu'
  | 'disk-quota'
  | 'two-uids'
  | 'transparent-egress'
  | 'pause'
  | 'per-process-kill'
  | 'root-inside';

export interface ProbeReport {
  ok: boolean;
  /** What stands between a sandbox and its neighbours. `namespace` shares the host's kernel: a kernel bug is an escape. */
  isolation: 'vm' | 'gvisor' | 'namespace';
  features: ReadonlySet<Feature>;
  /** One sentence per missing part, each with the command that mends it. */
  problems: string[];
  /** What an operator should know and nothing fails for, in the same form. */
  warnings: string[];
}

export interface SandboxLimits {
  memoryBytes: number;
  /** Thousandths of a core. */
  cpuMillis: number;
  pids: number;
  diskBytes: number;
}

export interface SandboxSpec {
  /** Letters, digits, `-` and `_`, at most 64: it names files on the node. */
  sandboxId: string;
  /** Grows with every start, so that work decided for an earlier life cannot touch a later one. */
  generation: number;
  template: string;
  limits: SandboxLimits;
  /** Part of the environment of every command. Never logged. */
  env: Record<string, string>;
}

/** One life of one sandbox. `slot` is new for every start. */
export interface BoxRef {
  sandboxId: string;
  generation: number;
  slot: string;
}

export interface ReconcileReport {
  adopted: BoxRef[];
  /** Slots that were cleared away. */
  swept: string[];
}

/** Why a sandbox ended. `lost`: it runs or ran, but can no longer be trusted or reached. */
export type ExitReason = 'stopped' | 'oom' | 'crashed' | 'lost';

export interface SandboxHandle {
  readonly ref: BoxRef;

  /** False from the moment its end has begun; whoever listens is told when it is over. */
  readonly isRunning: boolean;

  /** Starts a process and resolves once it runs. */
  spawn(options: SpawnOptions): Promise<RemoteProcess>;

  /** Follows a process that was started with `keep`, from a byte offset per stream on. */
  attach(processId: string, from: { stdout: number; stderr: number }): Promise<RemoteProcess>;

  /** Runs a shell command to its end. A timeout is a result (`timedOut`), not an error. */
  exec(options: ExecOptions): Promise<ExecResult>;

  processes(): Promise<ProcessSummary[]>;

  readonly files: SandboxFiles;

  /** SIGKILL to everything but the agent. */
  killAll(): Promise<void>;

  stats(): Promise<BoxStats>;
  pause(): Promise<void>;
  resume(): Promise<void>;

  /** Ends the sandbox and keeps its disk. */
  stop(): Promise<void>;

  /** Ends the sandbox and frees its disk. */
  destroy(): Promise<void>;

  /** Called once. A listener that comes too late is called at once. */
  onExit(listener: (why: ExitReason) => void): void;
}

/**
 * Every path is absolute or relative to the home of the command user, with whose rights everything happens. Links on the way
 * are followed, inside the sandbox only; a link at the end only by `write`, `read`, `list` and `mkdir`.
 * Rejects with `not-found`, `wrong-kind`, `occupied` or `denied` where the file system says so.
 */
export interface SandboxFiles {
  /**
   * All or nothing: the content appears by a rename once it is complete. Parents are made. Content that errors (the call then
   * rejects with that very error), or has more than `maxBytes` (`too-large`), leaves nothing behind.
   * @returns bytes written
   */
  write(path: string, content: Uint8Array | Readable, options?: WriteOptions): Promise<number>;
  /**
   * A regular file, as long as it was when it was opened; content that breaks off is `unavailable`. It must be read to its end or
   * destroyed.
   */
  read(path: string): Promise<{ size: number; content: Readable }>;
  /** What is at the path itself, a link included. */
  stat(path: string): Promise<FileEntry>;
  /** What is below a directory, `depth` levels deep (1: its own entries), sorted by path; links are listed and not entered. */
  list(path: string, options: { depth: number; maxEntries: number }): Promise<FileList>;
  /** Like `mkdir -p`. @returns false when the directory was there */
  mkdir(path: string): Promise<boolean>;
  /**
   * Replaces a file, makes parents. A directory at the new path is `occupied`, and one that would go to another mount is `denied`.
   * @returns the entry at its new path
   */
  rename(from: string, to: string): Promise<FileEntry>;
  /** A file, a link, or a directory with all that is in it. */
  remove(path: string): Promise<void>;
}

export interface WriteOptions {
  /** Permission bits; default 0o644. */
  mode?: number;
  maxBytes?: number;
}

export interface FileEntry {
  name: string;
  path: string;
  /** Anything but these three (a pipe, a socket) has none. */
  type?: 'file' | 'dir' | 'symlink';
  size: number;
  /** Permission bits, with those for setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  /** Whatever the file claims: it may be before 1970, or in a year that no date can name. */
  modifiedMs: number;
  symlinkTarget?: string;
}

export interface FileList {
  entries: FileEntry[];
  /** There are more. */
  truncated: boolean;
}

export interface ProcessOptions {
  /** Absolute, or relative to the home. Default: the home. */
  cwd?: string;
  env?: Record<string, string>;
  /** The whole tree is killed when it is over. */
  timeoutMs?: number;
  /** Bytes kept of stdout and of stderr, each; the rest is read, counted and dropped. Default: no cap. */
  capBytes?: number;
}

export interface SpawnOptions extends ProcessOptions {
  /** A shell command, or a program with its arguments. */
  run: { command: string } | { argv: [string, ...string[]] };
  /** Connect stdin; otherwise it is /dev/null. */
  stdin?: boolean;
  /** Survives this connection (and this process); its output can be replayed by `attach`. Names the process. */
  keep?: { id: string };
}

/** Both outputs must be read: they share one connection, and an unread one holds the other back. */
export interface RemoteProcess {
  readonly id: string;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles after both outputs ended. Rejects with `unavailable` when the sandbox goes away first. */
  readonly exit: Promise<ProcessExit>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL to the whole tree. */
  kill(): void;
  /** Stops following. The process lives on when it was started with `keep`, otherwise its tree is killed. */
  detach(): void;
}

export interface ProcessExit {
  /** null when a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
  truncated: boolean;
  /** Bytes the process wrote, dropped ones included. */
  stdoutBytes: number;
  stderrBytes: number;
}

export interface ExecOptions extends ProcessOptions {
  command: string;
  /** Default 60 s. */
  timeoutMs?: number;
  /** Default 10 MiB. */
  capBytes?: number;
  /** Aborting kills the tree and rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface ExecResult {
  stdout: Buffer;
  stderr: Buffer;
  /** As a shell reports it: 128 + n when signal n ended the command. */
  exitCode: number;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
  truncated: boolean;
}

export interface ProcessSummary {
  id: string;
  pid: number;
  running: boolean;
  keep: boolean;
}

export interface BoxStats {
  memoryBytes: number;
  cpuUsec: number;
  pids: number;
  /** Processes the kernel killed for want of memory since the start. */
  oomKills: number;
}
