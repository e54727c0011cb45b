import { isScope, isUuid, SCOPES, uuidV7 } from '@gatehouse/contracts';
import { openDatabase } from '@gatehouse/database';
import { commonConfig, createLogger, databaseConfig, openRedis, readConfig, redisReady } from '@gatehouse/platform';
import { Command, InvalidArgumentError } from 'commander';
import type { Writable } from 'node:stream';
import { advanceEpoch } from '../keys/key-epochs.js';
import { apiKeyHint, generateApiKey, hashApiKey } from '../keys/api-key.js';
import { keyView } from '../keys/key-view.js';
import { KeysStore } from '../keys/keys.store.js';
import { addVaultCommands } from './vault-commands.js';

const REDIS_DEADLINE_MS = 3_000;

interface Installation {
  readonly keys: KeysStore;
  /** Makes every gateway process notice a changed key on its next request. */
  announceChange(secretHash: Buffer): Promise<void>;
}

/** Opens what the commands work on, and closes it again whatever happens. */
const withInstallation = async (environment: NodeJS.ProcessEnv, work: (installation: Installation) => Promise<void>): Promise<void> => {
  const { DATABASE_URL, REDIS_URL, REDIS_NAMESPACE } = readConfig(environment, { DATABASE_URL: databaseConfig.DATABASE_URL, REDIS_URL: commonConfig.REDIS_URL, REDIS_NAMESPACE: commonConfig.REDIS_NAMESPACE });
  const database = openDatabase({ url: DATABASE_URL, applicationName: 'gatehouse-cli', connectionsMax: 1 });
  const logger = createLogger({ service: 'cli', instance: 'cli', level: 'fatal' });
  const announceChange = async (secretHash: Buffer): Promise<void> => {
    const redis = openRedis({ url: REDIS_URL, connectionName: 'gatehouse-cli', logger });
    try {
      await redisReady(redis, REDIS_DEADLINE_MS);
      await advanceEpoch(redis, REDIS_NAMESPACE, secretHash);
    } finally {
      redis.disconnect();
    }
  };
  try {
    await work({ keys: new KeysStore(database), announceChange });
  } finally {
    await database.$disconnect();
  }
};

const scopeList = (value: string): string[] => {
  const scopes = value.split(',').map(scope => scope.trim());
  const unknown = scopes.filter(scope => scope !== '*' && !isScope(scope));
  if (unknown.length > 0) throw new InvalidArgumentError(`Unknown: ${unknown.join(', ')}. Known: *, ${SCOPES.join(', ')}`);
  return scopes.includes('*') ? ['*'] : [...new Set(scopes)];
};

const futureDate = (value: string): Date => {
  const date = new Date(value);
  if (Number.isNaN(date.getTime()) || date <= new Date()) throw new InvalidArgumentError('Must be a date in the future, such as 2027-01-31T00:00:00Z');
  return date;
};

const named = (value: string): string => {
  const name = value.trim();
  if (name.length < 1 || name.length > 100) throw new InvalidArgumentError('Must have 1 to 100 characters');
  return name;
};

interface CreateOptions {
  readonly team: string;
  readonly name: string;
  readonly scopes: string[];
  readonly userId?: string;
  readonly expiresAt?: Date;
  readonly json?: true;
}

/** The administrator's command line: the first key of a team can come from nowhere else. */
export const buildProgram = (environment: NodeJS.ProcessEnv, out: Writable): Command => {
  const program = new Command('gatehouse').description('Administers a Gatehouse installation').showHelpAfterError();
  const keys = program.command('keys').description('API keys');

  keys
    .command('create')
    .description('make a key, and its team when there is none of that name; the secret is shown this once')
    .requiredOption('--team <name>', 'team the key acts for', named)
    .option('--name <name>', 'name of the key', named, 'Default')
    .option('--scopes <scopes>', 'scopes separated by commas, or *', scopeList, ['*'])
    .option('--user-id <id>', 'default user of its runs and tokens')
    .option('--expires-at <date>', 'when it stops working', futureDate)
    .option('--json', 'print JSON')
    .action(async (options: CreateOptions) =>
      withInstallation(environment, async ({ keys: store }) => {
        const secret = generateApiKey();
        const team = await store.team(options.team, uuidV7());
        const row = await store.create({
          id: uuidV7(),
          teamId: team.id,
          name: options.name,
          secretHash: hashApiKey(secret),
          ...apiKeyHint(secret),
          scopes: options.scopes,
          userId: options.userId ?? null,
          rateLimits: null,
          expiresAt: options.expiresAt ?? null,
        });
        if (options.json) out.write(`${JSON.stringify({ team: { id: team.id, name: team.name }, key: keyView(row), secret })}\n`);
        else out.write(`Key ${row.id} of team ${team.name} (${row.scopes.join(', ')}).\nIts secret, shown this once:\n\n  ${secret}\n`);
      }),
    );

  keys
    .command('list')
    .description('list keys, newest first')
    .option('--team <name>', 'only of this team', named)
    .option('--json', 'print JSON')
    .action(async ({ team, json }: { team?: string; json?: true }) =>
      withInstallation(environment, async ({ keys: store }) => {
        const rows = await store.list(team);
        if (json) out.write(`${JSON.stringify(rows.map(row => ({ team: row.team.name, ...keyView(row) })))}\n`);
        else if (rows.length === 0) out.write('No keys yet. Make one: gatehouse keys create --team <name>\n');
        else for (const row of rows) out.write(`${row.id}  ${row.prefix}…${row.last4}  ${keyView(row).status.padEnd(7)}  ${row.team.name}  ${row.name}  ${row.scopes.join(',')}\n`);
      }),
    );

  keys
    .command('revoke')
    .description('stop a key; it is refused from the next request on')
    .argument('<id>', 'id of the key')
    .action(async (id: string) =>
      withInstallation(environment, async ({ keys: store, announceChange }) => {
        const revoked = isUuid(id) ? await store.revoke(id, new Date()) : null;
        if (revoked === null) throw new Error(`There is no key ${id}`);
        try {
          await announceChange(revoked.secretHash);
        } catch (error) {
          throw new Error(`Key ${id} is revoked, but the gateways could not be told: they notice within 30 seconds. Run this again to tell them.`, { cause: error });
        }
        out.write(`Key ${id} is revoked.\n`);
      }),
    );

  addVaultCommands(program, environment, out);
  return program;
};
