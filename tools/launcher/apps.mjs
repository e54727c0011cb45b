import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cloneId, stateDir } from '../workspace.mjs';

/**
 * The processes of Gatehouse on one machine and what each is told. A key goes only to the process that works with it.
 *
 * @typedef {{ name: string, env: Record<string, string> }} App
 * @param {{ services: { DATABASE_URL: string, REDIS_URL: string }, secrets: Record<string, string>, runtime: Record<string, string>, host: string, port: number }} machine
 * @returns {App[]}
 */
export function apps({ services, secrets, runtime, host, port }) {
  const common = { NODE_ENV: 'development', LOG_LEVEL: 'info', ...services, GATEHOUSE_TRANSPORT_KEY: secrets.GATEHOUSE_TRANSPORT_KEY };
  const specific = {
    vault: {
      VAULT_KEYS: secrets.VAULT_KEYS,
      RUN_TOKEN_PUBLIC_KEYS: secrets.RUN_TOKEN_PUBLIC_KEYS,
      // A developer's authorization server is on the same machine.
      VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS: 'true',
    },
    budget: {},
    egress: {},
    sandbox: {
      ...runtime,
      ...sandboxMachineEnv,
      NODE_ID: 'dev',
      SANDBOX_KEYS: secrets.SANDBOX_KEYS,
      // Sandboxes outlive the service that runs them, but must not outlive the developer's Ctrl-C.
      SANDBOX_STOP_ON_SHUTDOWN: 'true',
    },
    gateway: { HOST: host, PORT: String(port) },
  };
  return Object.entries(specific).map(([name, env]) => ({ name, env: { ...inherited(), ...overridable({ ...common, ...env }) } }));
}

/** In this order they stop: nobody's work is cut off by the end of what it asks. */
export const STOP_ORDER = [['gateway'], ['sandbox'], ['egress', 'vault', 'budget']];

/**
 * Sockets of running sandboxes. Below /run: that is memory, its path is short enough for a socket, and its parents may be
 * passed by the sandboxes' own users, which a home folder's often may not.
 */
export const sandboxRunDir = `/run/gatehouse-${cloneId}`;

/** Where and by what the developer's sandboxes run. */
export const sandboxMachineEnv = { SANDBOX_DRIVER: 'local', SANDBOX_DATA_DIR: join(stateDir, 'sandboxes'), SANDBOX_RUN_DIR: sandboxRunDir };

export const makeSandboxRunDir = () => mkdirSync(sandboxRunDir, { recursive: true, mode: 0o711 });

/** What npm adds for its own scripts is no business of a server, and a long list in every crash report. */
const inherited = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD$)/i.test(name)));

/** Whoever sets one of these in the shell means it. */
const overridable = env => Object.fromEntries(Object.entries(env).map(([name, value]) => [name, process.env[name] ?? value]));
