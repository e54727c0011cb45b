import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes, randomInt } from 'node:crypto';
import { appendFileSync, chmodSync, copyFileSync, createReadStream, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { eventually } from '@gatehouse/testing';

const REPOSITORY = resolve(import.meta.dirname, '../../../../..');
const STATE = join(REPOSITORY, '.gatehouse/runtime');
const READY_MS = 30_000;
const USER = 'gatehouse-remap';

const tool = (name: string): string => execFileSync(process.execPath, [join(REPOSITORY, 'tools/testing', name), STATE], { encoding: 'utf8' }).trim();

/**
 * In namespaces of its own: its mounts and its network are nobody else's, and an /etc of its own, for the ids it maps. The shell is
 * pid 1 there: when its stdin ends, because whoever started it has ended, so does all the rest.
 */
const SCRIPT = `
set -e
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc,workdir=$1/etc-work" /etc
ip link set lo up
shift
"$@" </dev/null &
read -r _
`;

/** A Docker Engine for one test file, away from any other on the machine. */
export class DockerEngine {
  private constructor(
    readonly socketPath: string,
    /** First host id of its containers; 0 when it maps none. */
    readonly uidBase: number,
    private readonly directory: string,
    private readonly cgroup: string,
    private readonly child: ChildProcess,
  ) {}

  /** Why there is none here, or null. */
  static missingBecause(): string | null {
    if (process.getuid?.() !== 0) return 'a Docker Engine of its own needs root';
    return tool('docker-engine.mjs') === 'null' ? 'there is no dockerd: set DOCKERD_BIN, or DOCKERD_BIN=debian to unpack one' : null;
  }

  static async start({ remap }: { remap: boolean }): Promise<DockerEngine> {
    const { dockerd, env } = JSON.parse(tool('docker-engine.mjs')) as { dockerd: string; env: NodeJS.ProcessEnv };
    const directory = mkdtempSync(join(tmpdir(), 'gatehouse-docker-'));
    chmodSync(directory, 0o711);
    const uidBase = remap ? 2_000_000_000 + randomInt(0, 512) * 65_536 : 0;
    mkdirSync(join(directory, 'etc'));
    mkdirSync(join(directory, 'etc-work'));
    for (const [file, line] of Object.entries({ passwd: `${USER}:x:64999:64999::/:/bin/false`, group: `${USER}:x:64999:`, subuid: `${USER}:${uidBase}:65536`, subgid: `${USER}:${uidBase}:65536` })) {
      if (existsSync(`/etc/${file}`)) copyFileSync(`/etc/${file}`, join(directory, 'etc', file));
      appendFileSync(join(directory, 'etc', file), `${line}\n`);
    }
    const cgroup = `gatehouse-docker-${randomBytes(6).toString('hex')}`;
    const socketPath = join(directory, 'docker.sock');
    const options = ['--iptables=false', '--ip6tables=false', '--bridge=none', `--cgroup-parent=/${cgroup}`, `--host=unix://${socketPath}`, `--data-root=${join(directory, 'data')}`, `--exec-root=${join(directory, 'exec')}`, `--pidfile=${join(directory, 'pid')}`, ...(remap ? [`--userns-remap=${USER}`] : [])];
    const log = openSync(join(directory, 'log'), 'w');
    const isolated = ['--mount', '--net', '--pid', '--fork', '--mount-proc', '--kill-child'];
    const child = spawn('unshare', [...isolated, 'sh', '-c', SCRIPT, 'sh', directory, dockerd, ...options], { env: { ...process.env, ...env }, stdio: ['pipe', log, log] });
    const engine = new DockerEngine(socketPath, uidBase, directory, cgroup, child);
    try {
      await eventually(() => engine.call('GET', '/_ping'), { deadlineMs: READY_MS });
    } catch (error) {
      const said = readFileSync(join(directory, 'log'), 'utf8').slice(-2_000);
      await engine.stop();
      throw new Error(`dockerd did not start: ${said}`, { cause: error });
    }
    return engine;
  }

  /** An image of a small Debian. @returns its name */
  async importDebian(changes: string[] = []): Promise<string> {
    const name = `sandbox-${randomBytes(4).toString('hex')}`;
    const query = new URLSearchParams([['fromSrc', '-'], ['repo', name], ['tag', '1'], ...changes.map(change => ['changes', change] as [string, string])]);
    await this.call('POST', `/images/create?${query}`, tool('debian-root.mjs'));
    return `${name}:1`;
  }

  /** What it knows of, running or not. */
  async containers(): Promise<string[]> {
    return (JSON.parse(await this.call('GET', '/containers/json?all=true')) as { Id: string }[]).map(({ Id }) => Id);
  }

  async call(method: string, path: string, tar?: string): Promise<string> {
    const asking = request({ socketPath: this.socketPath, method, path, headers: tar ? { 'content-type': 'application/x-tar' } : {} });
    const answered = once(asking, 'response') as Promise<[IncomingMessage]>;
    answered.catch(() => undefined); // the pipeline meets it too
    if (tar) await pipeline(createReadStream(tar), asking);
    else asking.end();
    const [response] = await answered;
    let text = '';
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
    if ((response.statusCode ?? 500) >= 400 || text.includes('"errorDetail"')) throw new Error(`${method} ${path}: ${text}`);
    return text;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit');
      this.child.stdin?.end();
      await exited;
    }
    await eventually(() => this.removeCgroups());
    await eventually(() => rmSync(this.directory, { recursive: true, force: true })); // its mounts go a moment after its last process
  }

  private removeCgroups(): void {
    for (const hierarchy of ['', ...readdirSync('/sys/fs/cgroup')]) removeTree(join('/sys/fs/cgroup', hierarchy, this.cgroup));
  }
}

function removeTree(cgroup: string): void {
  if (!existsSync(cgroup)) return;
  for (const entry of readdirSync(cgroup, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(cgroup, entry.name));
  rmdirSync(cgroup);
}
