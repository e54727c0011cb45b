import { spawn, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { BoxPaths } from './layout.js';
import { runTool, TOOL_ENV } from './run-tool.js';

const CALL_TIMEOUT_MS = 15_000;
/** The first descriptor after 0, 1 and 2, which is what `--preserve-fds 1` passes on. */
export const READY_FD = 3;
/** Marks the processes of a start, so that the next service finds those a kill left behind. */
export const STARTER_MARK = 'GATEHOUSE_STARTER';

/**
 * Runs in a mount namespace of its own: the disk image is mounted there and nowhere else, so the host's table never changes
 * and nothing needs unmounting. When this ends only the container holds the mount, and with it the loop device.
 */
const START_SCRIPT = `
log=$1 image=$2 disk=$3 owner=$4; shift 4
if [ -n "$image" ]; then
  mount -o loop,nosuid,nodev,noatime,discard "$image" "$disk" 2>"$log" || exit 1
  [ -d "$disk/home" ] || install -d -m 0700 -o "$owner" -g "$owner" "$disk/home" "$disk/home/workspace" 2>"$log" || exit 1
fi
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

  /** Resolves when the agent inside says it is ready. @throws with the end of the runtime's log, or the signal's reason */
  async start(input: StartInput, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { slot, paths } = input;
    const run = ['--root', this.root, '--log', paths.runtimeLog, 'run', '--detach', '--bundle', paths.bundle, '--pid-file', paths.pid, '--preserve-fds', '1', slot];
    const script = ['sh', '-c', START_SCRIPT, 'sh', paths.runtimeLog, input.image ?? '', paths.disk, String(input.homeOwner), this.path, ...run];
    const starter = spawn('unshare', ['--mount', '--propagation', 'slave', ...script], {
      cwd: '/',
      env: { ...TOOL_ENV, [STARTER_MARK]: this.nodeId },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      detached: true,
    });
    const ready = starter.stdio[READY_FD] as Readable;
    const abort = () => {
      killGroup(starter);
      ready.destroy(); // the starter may be done and only the agent late
    };
    signal.addEventListener('abort', abort);
    try {
      await Promise.all([succeeded(starter), oneByte(ready)]);
    } catch (error) {
      killGroup(starter);
      signal.throwIfAborted();
      throw new Error(`start failed: ${await tail(paths.runtimeLog)}`, { cause: error });
    } finally {
      signal.removeEventListener('abort', abort);
      ready.destroy();
    }
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

function succeeded(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => (code === 0 ? resolve() : reject(new Error(`ended with ${code ?? signal}`))));
  });
}

function oneByte(stream: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('data', () => resolve());
    stream.once('error', reject);
    stream.once('close', () => reject(new Error('the agent ended before it was ready')));
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(-child.pid, 'SIGKILL'); // our own child, not yet reaped: the pid is still its
}

async function tail(log: string): Promise<string> {
  return (await readFile(log, 'utf8').catch(() => 'no log')).slice(-1000);
}
