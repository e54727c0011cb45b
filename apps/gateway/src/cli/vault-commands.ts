import { type Caller, GatehouseError, type KeyCounts, type KeyRotation, keyRotationRpc, type RpcClient, uuidV7 } from '@gatehouse/contracts';
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

type Output = Writable & { readonly isTTY?: boolean };

/** `gatehouse vault …` */
export const addVaultCommands = (program: Command, environment: NodeJS.ProcessEnv, out: Output): void => {
  const vault = program.command('vault').description('keys that encrypt credentials at rest');

  vault
    .command('keys')
    .description('show which key wraps how many secrets')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: true }) =>
      withVault(environment, async (rotation, caller) => {
        const counts = await rotation.counts(caller, {});
        out.write(json ? `${JSON.stringify(counts)}\n` : keyLines(counts));
      }),
    );

  vault
    .command('rotate-keys')
    .description('bring every secret under the current key (the first of VAULT_KEYS), while everything runs')
    .option('--json', 'print JSON when it is done')
    .action(({ json }: { json?: true }) => withVault(environment, (rotation, caller) => rotateKeys(rotation, caller, out, json === true)));
};

/**
 * Starts a rotation, watches it to its end, and tells whether other keys are needed any more.
 * @throws Error that says what to do, unless every secret is under the key it was started with, and what is new will be.
 */
export const rotateKeys = async (rotation: Rotation, caller: Caller, out: Output, json: boolean): Promise<void> => {
  const started = await rotation.start(caller, {});
  const live = out.isTTY === true && !json;
  let told = -Infinity;
  const tell = (status: KeyRotation): void => {
    if (json || (!live && performance.now() - told < TELL_EVERY_MS)) return;
    out.write(live ? `\r\u001b[K${progressLine(status)}` : `${progressLine(status)}\n`);
    told = performance.now();
  };
  const ask = async (): Promise<KeyRotation> => {
    const status = await patiently(() => rotation.status(caller, started));
    if (status === null) throw new Error('The rotation is not known any more: Redis lost it. Run this again to go on where it stopped.');
    return status;
  };
  let status = await ask();
  for (; status.state === 'waiting' || status.state === 'running'; status = await ask()) {
    tell(status);
    await delay(LOOK_AGAIN_MS);
  }
  const counts = await patiently(() => rotation.counts(caller, {}));
  if (live) out.write('\r\u001b[K');
  out.write(json ? `${JSON.stringify({ ...status, ...counts })}\n` : `${progressLine(status)}\n${keyLines(counts)}`);
  const problem = problemOf(status, counts);
  if (problem !== null) throw new Error(problem);
  if (!json) out.write('Every secret is under the current key: once every vault process was started with it first, other keys can be removed from VAULT_KEYS.\n');
};

const problemOf = ({ keyId, state, error, unreadable }: KeyRotation, counts: KeyCounts): string | null => {
  if (state === 'failed') return `The rotation failed: ${error ?? 'see the log of the vault service'}. Run this again to go on where it stopped.`;
  if (unreadable > 0) return `${unreadable} secrets could not be read: their key is not in VAULT_KEYS, or they are damaged. Put the missing key behind the others and run this again.`;
  if (counts.currentKeyId !== keyId) return `Remove no key: a vault process has ${counts.currentKeyId} as its current key, not ${keyId}. Start every vault process with the same key first and run this again.`;
  const left = others(counts, keyId);
  return left > 0 ? `Remove no key: ${left} secrets were written under others meanwhile. Start every vault process with ${keyId} first and run this again.` : null;
};

/** A vault process may be restarted meanwhile: the rotation outlives it, and so does watching. */
const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
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

const others = ({ secretsByKey }: KeyCounts, keyId: string): number => Object.entries(secretsByKey).reduce((sum, [key, count]) => sum + (key === keyId ? 0 : count), 0);

const progressLine = ({ state, rewrapped }: KeyRotation): string => `${rewrapped} secrets wrapped anew${state === 'waiting' ? '; it waits for a vault process' : ''}.`;

const keyLines = ({ secretsByKey, currentKeyId }: KeyCounts): string =>
  Object.entries(secretsByKey)
    .sort(([a], [b]) => (a === currentKeyId ? -1 : b === currentKeyId ? 1 : a < b ? -1 : 1))
    .map(([key, count]) => `${key.padEnd(20)}  ${String(count).padStart(8)} secrets${key === currentKeyId ? '  (current)' : ''}\n`)
    .join('');
