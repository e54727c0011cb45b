import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { BoxPaths } from './layout.js';
import { runTool, TOOL_ENV } from './run-tool.js';

const CALL_TIMEOUT_MS = 15_000;
const CANCEL_TIMEOUT_MS = 5_000;
/** The first descriptor after 0, 1 and 2, which is what `--preserve-fds 1` passes on. */
export const READY_FD = 3;
/** Marks the processes of a start, so that the next service finds those a kill left behind. */
export const STARTER_MARK = 'GATEHOUSE_STARTER';

/**
 * Runs in a mount namespace of its own: the disk image is mounted there and nowhere else, so the host's table never changes
 * and nothing needs unmounting. When this ends only the container holds the mount, and with it the loop device. Then it says so and waits
 * for a word; without one, because whoever was to give it has died, it ends.
 */
const START_SCRIPT = `
log=$1 image=$2 disk=$3 owner=$4; shift 4
if [ -n "$image" ]; then
  mount -o loop,nosuid,nodev,noatime,discard "$image" "$disk" 2>"$log" || exit 1
  [ -d "$disk/home" ] || install -d -m 0700 -o "$owner" -g "$owner" "$disk/home" "$disk/home/workspace" 2>"$log" || exit 1
fi
echo mounted
read -r word && [ "$word" = go ] || exit 1
exec "$@"
`;

export interface StartInput {
  slot: string;
  paths: BoxPaths;
  /** null when the home is a plain directory. */
  image: string | null;
  /** Host id of the command user. */
  homeOwner: number;
}

/** An OCI runtime on the command line: runc, or one that takes the same arguments. */
export class OciRuntime {
  constructor(
    private readonly path: string,
    private readonly root: string,
    private readonly nodeId: string,
  ) {}

  /** Mounts the disk at once and runs the container when it is told to; its bundle need not be there before. */
  prepare(input: StartInput): PendingStart {
    const { slot, paths } = input;
    const run = ['--root', this.root, '--log', paths.runtimeLog, 'run', '--detach', '--bundle', paths.bundle, '--pid-file', paths.pid, '--preserve-fds', '1', slot];
    const script = ['sh', '-c', START_SCRIPT, 'sh', paths.runtimeLog, input.image ?? '', paths.disk, String(input.homeOwner), this.path, ...run];
    const starter = spawn('unshare', ['--mount', '--propagation', 'slave', ...script], {
      cwd: '/',
      env: { ...TOOL_ENV, [STARTER_MARK]: this.nodeId },
      // Pipes, which become the container's own: some runtimes give what they find there to its root, and that must not be the host's /dev/null.
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    return new PendingStart(starter, paths.runtimeLog);
  }

  /** Plain first: forced, some versions poll for 100 ms. */
  async delete(slot: string): Promise<void> {
    await this.call('delete', slot).catch(() => this.call('delete', '--force', slot));
  }

  async pause(slot: string): Promise<void> {
    await this.call('pause', slot);
  }

  async resume(slot: string): Promise<void> {
    await this.call('resume', slot);
  }

  private call(...args: string[]): Promise<string> {
    return runTool(this.path, ['--root', this.root, ...args], CALL_TIMEOUT_MS);
  }
}

/** A start that has begun and waits for the word. */
export class PendingStart {
  private readonly mounted: Promise<void>;
  private readonly succeeded: Promise<void>;
  private readonly saidReady: Promise<void>;
  private readonly ready: Readable;

  constructor(
    private readonly starter: ChildProcess,
    private readonly log: string,
  ) {
    this.ready = starter.stdio[READY_FD] as Readable;
    this.succeeded = succeeded(starter);
    this.saidReady = oneByte(this.ready, 'the agent ended before it was ready');
    this.mounted = oneByte(starter.stdout as Readable, 'the disk could not be mounted').catch(async (cause: unknown) => {
      throw new Error(`start failed: ${await tail(log)}`, { cause });
    });
    for (const early of [this.mounted, this.succeeded, this.saidReady]) early.catch(() => undefined); // told by `go`
    starter.stdin?.on('error', () => undefined); // it has ended, which `succeeded` tells
  }

  /** It gave up by itself; there is no use in waiting. */
  get hasEnded(): boolean {
    return this.starter.exitCode !== null || this.starter.signalCode !== null;
  }

  /** Resolves when the disk is mounted, and so may be renamed. A mount that takes longer than `signal` is ended. */
  async mountedBefore(signal: AbortSignal): Promise<void> {
    const abort = () => killGroup(this.starter);
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
      await this.mounted;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Resolves when the agent inside says it is ready. @throws with the end of the runtime's log, or the signal's reason */
  async go(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const abort = () => {
      killGroup(this.starter);
      this.ready.destroy(); // the starter may be done and only the agent late
    };
    signal.addEventListener('abort', abort);
    this.starter.stdin?.end('go\n');
    try {
      await Promise.all([this.succeeded, this.saidReady]);
    } catch (error) {
      killGroup(this.starter);
      signal.throwIfAborted();
      throw new Error(`start failed: ${await tail(this.log)}`, { cause: error });
    } finally {
      signal.removeEventListener('abort', abort);
      this.letGo();
    }
  }

  /** Resolves when nothing of it runs any more, or does not die: whoever clears up after it finds out. */
  async cancel(): Promise<void> {
    killGroup(this.starter);
    const enough = new AbortController();
    await Promise.race([this.succeeded.catch(() => undefined), delay(CANCEL_TIMEOUT_MS, undefined, { signal: enough.signal }).catch(() => undefined)]); // told by the sweep
    enough.abort();
    this.letGo();
  }

  /** The container holds the other ends as long as it lives. */
  private letGo(): void {
    for (const stream of this.starter.stdio) stream?.destroy();
  }
}

function succeeded(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => (code === 0 ? resolve() : reject(new Error(`ended with ${code ?? signal}`))));
  });
}

function oneByte(stream: Readable, otherwise: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('data', () => resolve());
    stream.once('error', reject);
    stream.once('close', () => reject(new Error(otherwise)));
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(-child.pid, 'SIGKILL'); // our own child, not yet reaped: the pid is still its
}

async function tail(log: string): Promise<string> {
  return (await readFile(log, 'utf8').catch(() => 'no log')).slice(-1000);
}
