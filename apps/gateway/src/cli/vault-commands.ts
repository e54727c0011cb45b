import { type Caller, GatehouseError, type KeyRotation, keyRotationRpc, type RpcClient, uuidV7 } from '@gatehouse/contracts';
import { commonConfig, createLogger, readConfig } from '@gatehouse/platform';
import { RedisBus, RpcClients } from '@gatehouse/rpc';
import type { Command } from 'commander';
import { setTimeout as delay } from 'node:timers/promises';
import type { Writable } from 'node:stream';

const LOOK_AGAIN_MS = 500;
/** Lines for a log that nobody watches live. */
const TELL_EVERY_MS = 10_000;
/** How long the vault service may be away before nobody waits for it. */
const PATIENCE_MS = 60_000;
const NOBODY = '00000000-0000-0000-0000-000000000000';

type Rotation = RpcClient<typeof keyRotationRpc>;

/** Asks the vault service itself: it alone holds the keys and the tables. */
const withVault = async (environment: NodeJS.ProcessEnv, work: (rotation: Rotation, caller: Caller) => Promise<void>): Promise<void> => {
  const { REDIS_URL, REDIS_NAMESPACE, GATEHOUSE_TRANSPORT_KEY } = commonConfig;
  const config = readConfig(environment, { REDIS_URL, REDIS_NAMESPACE, GATEHOUSE_TRANSPORT_KEY });
  const logger = createLogger({ service: 'cli', instance: 'cli', level: 'fatal' });
  const bus = new RedisBus({ url: config.REDIS_URL, logger });
  const clients = new RpcClients({ bus, transportKey: config.GATEHOUSE_TRANSPORT_KEY, namespace: config.REDIS_NAMESPACE, logger });
  try {
    await work(clients.of(keyRotationRpc), { teamId: NOBODY, keyId: NOBODY, scopes: [], userId: null, requestId: `cli-${uuidV7()}` });
  } finally {
    await clients.close();
    await bus.close();
  }
};

/** `gatehouse vault …` */
export const addVaultCommands = (program: Command, environment: NodeJS.ProcessEnv, out: Writable & { readonly isTTY?: boolean }): void => {
  const vault = program.command('vault').description('keys that encrypt credentials at rest');

  vault
    .command('keys')
    .description('show which key wraps how many secrets')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: true }) =>
      withVault(environment, async (rotation, caller) => {
        const status = await rotation.status(caller, {});
        out.write(json ? `${JSON.stringify(status)}\n` : keyLines(status));
      }),
    );

  vault
    .command('rotate-keys')
    .description('bring every secret under the current key (the first of VAULT_KEYS), while everything runs')
    .option('--json', 'print JSON when it is done')
    .action(({ json }: { json?: true }) =>
      withVault(environment, async (rotation, caller) => {
        let status = await rotation.start(caller, {});
        let told = -Infinity;
        while (status.state === 'waiting' || status.state === 'running') {
          if (!json && (out.isTTY || performance.now() - told >= TELL_EVERY_MS)) {
            out.write(`${out.isTTY ? '\r\u001b[K' : ''}${progressLine(status)}${out.isTTY ? '' : '\n'}`);
            told = performance.now();
          }
          await delay(LOOK_AGAIN_MS);
          status = await patiently(() => rotation.status(caller, {}));
        }
        if (out.isTTY && !json) out.write('\r\u001b[K');
        out.write(json ? `${JSON.stringify(status)}\n` : `${progressLine(status)}\n${keyLines(status)}`);
        if (status.state === 'failed') throw new Error(`The rotation failed: ${status.error ?? 'see the log of the vault service'}. Run this again to go on where it stopped.`);
        if (status.unreadable > 0) throw new Error(`${status.unreadable} secrets could not be read: their key is not in VAULT_KEYS, or they are damaged. Put the missing key behind the others and run this again.`);
      }),
    );
};

/** A vault process may be restarted meanwhile: the rotation outlives it, and so does watching. */
const patiently = async (ask: () => Promise<KeyRotation>): Promise<KeyRotation> => {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof GatehouseError) || error.status !== 503 || performance.now() > end) throw error;
    }
    await delay(LOOK_AGAIN_MS);
  }
};

const others = ({ secretsByKey, currentKeyId }: KeyRotation): number => Object.entries(secretsByKey).reduce((sum, [key, count]) => sum + (key === currentKeyId ? 0 : count), 0);

const progressLine = (status: KeyRotation): string => `${status.rewrapped} secrets wrapped anew, ${others(status)} left.`;

const keyLines = (status: KeyRotation): string => {
  const lines = Object.entries(status.secretsByKey)
    .sort(([a], [b]) => (a === status.currentKeyId ? -1 : b === status.currentKeyId ? 1 : a < b ? -1 : 1))
    .map(([key, count]) => `${key.padEnd(20)}  ${String(count).padStart(8)} secrets${key === status.currentKeyId ? '  (current)' : ''}\n`);
  return `${lines.join('')}${others(status) === 0 ? 'Every secret is under the current key: other keys can be removed from VAULT_KEYS.\n' : ''}`;
};
