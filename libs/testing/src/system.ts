import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually } from './eventually.js';
import { testServices } from './services.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const START_DEADLINE_MS = 20_000;
/** Some commands watch a job to its end. */
const CLI_DEADLINE_MS = 90_000;
const STOP_DEADLINE_MS = 20_000;

export type AppName = 'gateway' | 'vault' | 'budget' | 'sandbox' | 'egress';

/** One built process, as production runs it. */
export interface AppProcess {
  readonly name: AppName;
  readonly pid: number;
  /** Lines it has logged so far. */
  readonly log: readonly string[];
  /** Where a gateway listens. */
  readonly url: string;
  /** kill -9. Resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM. Resolves to its exit code. */
  stop(): Promise<number | null>;
}

export interface System {
  readonly namespace: string;
  readonly environment: Readonly<Record<string, string>>;
  start(name: AppName, overrides?: Readonly<Record<string, string>>): Promise<AppProcess>;
  /** Starts one of each, the gateway last; resolves when it is ready. */
  startAll(): Promise<Record<AppName, AppProcess>>;
  /** A key of a new team, made as an administrator makes it. */
  createKey(...options: string[]): Promise<{ secret: string; keyId: string; teamId: string }>;
  cli(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

/** An installation of its own: own Redis namespace, own node, own directories; the databases are shared with other tests. */
export const createSystem = (overrides: Readonly<Record<string, string>> = {}): System => {
  const { databaseUrl, redisUrl } = testServices();
  const namespace = `e2e-${randomBytes(6).toString('hex')}`;
  const { runDir, dataDir, remove } = createNodeDirectories();
  const processes = new Set<AppProcess>();
  const environment: Record<string, string> = {
    NODE_ENV: 'test',
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    REDIS_NAMESPACE: namespace,
    GATEHOUSE_TRANSPORT_KEY: randomBytes(32).toString('base64'),
    SANDBOX_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    VAULT_KEYS: `k1:${randomBytes(32).toString('base64')}`,
    VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS: 'true',
    ...runTokenKeys(),
    NODE_ID: namespace,
    SANDBOX_DRIVER: 'local',
    SANDBOX_DATA_DIR: dataDir,
    SANDBOX_RUN_DIR: runDir,
    SANDBOX_STOP_ON_SHUTDOWN: 'true',
    SANDBOX_UID_BASE: String(randomUidBase()),
    PORT: '0',
    HOST: '127.0.0.1',
    ...overrides,
  };

  // Containers outlive a killed service, by design. Starting it again and stopping it in order takes them away.
  const bereaved = new Set<Readonly<Record<string, string>>>();
  const start = async (name: AppName, ownOverrides: Readonly<Record<string, string>> = {}): Promise<AppProcess> => {
    const own = { ...environment, ...ownOverrides };
    const app = await startApp(name, own);
    processes.add(app);
    if (name !== 'sandbox') return app;
    for (const known of bereaved) if (known['NODE_ID'] === own['NODE_ID']) bereaved.delete(known);
    const kill = async (): Promise<void> => {
      bereaved.add(own);
      await app.kill();
    };
    return { ...app, kill };
  };
  const cli = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'apps/gateway/dist/cli/main.js'), ...args], { env: { ...process.env, ...environment }, timeout: CLI_DEADLINE_MS });
    return stdout;
  };
  return {
    namespace,
    environment,
    start,
    startAll: async () => {
      const [vault, budget, sandbox, egress] = await Promise.all((['vault', 'budget', 'sandbox', 'egress'] as const).map(async name => start(name)));
      const gateway = await start('gateway');
      await eventually(async () => {
        const answer = await fetch(`${gateway.url}/ready`);
        if (answer.status !== 200) throw new Error(await answer.text());
      });
      if (vault === undefined || budget === undefined || sandbox === undefined || egress === undefined) throw new Error('unreachable');
      return { vault, budget, sandbox, egress, gateway };
    },
    createKey: async (...options) => {
      const { secret, key, team } = JSON.parse(await cli('keys', 'create', '--team', `team-${randomBytes(6).toString('hex')}`, '--json', ...options)) as { secret: string; key: { id: string }; team: { id: string } };
      return { secret, keyId: key.id, teamId: team.id };
    },
    cli,
    close: async () => {
      await Promise.all([...processes].map(async app => app.stop()));
      for (const own of bereaved) await (await startApp('sandbox', own)).stop();
      remove();
    },
  };
};

/** The private one is for specs that sign tokens of runs themselves. */
const runTokenKeys = (): { RUN_TOKEN_PRIVATE_KEY: string; RUN_TOKEN_PUBLIC_KEYS: string } => {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return { RUN_TOKEN_PRIVATE_KEY: d, RUN_TOKEN_PUBLIC_KEYS: x };
};

/** Each node of a machine has host users of its own; ranges are wide enough that two tests hardly ever share one. */
export const randomUidBase = (): number => 1_073_741_824 + randomInt(40_000) * 65_536;

/** Places for the sockets and disks of one sandbox node. Sandboxes have users of their own, who must be able to pass. */
export const createNodeDirectories = (): { runDir: string; dataDir: string; remove(): void } => {
  const passable = (prefix: string): string => {
    const dir = mkdtempSync(prefix);
    chmodSync(dir, 0o711);
    return dir;
  };
  // Under /run because it is a tmpfs, and because paths of sockets must be short.
  const runDir = passable('/run/gh-');
  const dataDir = passable(join(tmpdir(), 'gatehouse-node-'));
  return {
    runDir,
    dataDir,
    remove: () => {
      for (const dir of [runDir, dataDir]) rmSync(dir, { recursive: true, force: true });
    },
  };
};

const startApp = async (name: AppName, environment: Readonly<Record<string, string>>): Promise<AppProcess> => {
  const child = spawn(process.execPath, [join(root, `apps/${name}/dist/main.js`)], { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  const log: string[] = [];
  let url = '';
  let ready = false;
  const see = (chunk: Buffer): void => {
    for (const line of chunk.toString().split('\n')) {
      if (line === '') continue;
      log.push(line);
      if (!line.startsWith('{')) continue;
      const entry = JSON.parse(line) as { msg?: string; url?: string };
      if (entry.msg !== 'ready') continue;
      ready = true;
      url = entry.url ?? '';
    }
  };
  child.stdout.on('data', lines(see));
  child.stderr.on('data', lines(see));
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => reject(new Error(`${name} ended with ${code}:\n${log.slice(-20).join('\n')}`)));
  });
  const started = eventually(
    () => {
      if (!ready) throw new Error(`${name} is not ready:\n${log.slice(-20).join('\n')}`);
    },
    { deadlineMs: START_DEADLINE_MS },
  );
  await Promise.race([started, failed]);
  // Whoever lost the race has nothing more to say.
  failed.catch(() => undefined);
  started.catch(() => undefined);
  return { name, pid: child.pid ?? 0, log, url, kill: async () => void (await end(child, 'SIGKILL')), stop: async () => end(child, 'SIGTERM') };
};

/** Hands on whole lines only. */
const lines = (see: (chunk: Buffer) => void): ((chunk: Buffer) => void) => {
  let rest = Buffer.alloc(0);
  return chunk => {
    rest = Buffer.concat([rest, chunk]);
    const lastBreak = rest.lastIndexOf(0x0a);
    if (lastBreak < 0) return;
    see(rest.subarray(0, lastBreak));
    rest = rest.subarray(lastBreak + 1);
  };
};

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> => {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
  const code = await gone;
  clearTimeout(timer);
  return code;
};
