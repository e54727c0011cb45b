import { randomBytes } from 'node:crypto';
import { uuidV7 } from '@gatehouse/contracts';
import { type Database, openDatabase } from '@gatehouse/database';
import { createLogger, openRedis } from '@gatehouse/platform';
import { testServices } from '@gatehouse/testing';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Redis } from 'ioredis';
import { readGatewayConfig } from '../config.js';
import { apiKeyHint, generateApiKey, hashApiKey } from '../keys/api-key.js';
import { advanceEpoch } from '../keys/key-epochs.js';
import { type ApiKeyRow, KeysStore, type NewApiKey } from '../keys/keys.store.js';
import { createGateway } from '../server.js';

export interface MadeKey extends ApiKeyRow {
  readonly secret: string;
  readonly authorization: string;
}

/** A gateway on a port of its own, in a Redis namespace of its own, on the shared Postgres. */
export interface GatewayFixture {
  readonly app: NestFastifyApplication;
  readonly port: number;
  readonly url: string;
  readonly namespace: string;
  readonly database: Database;
  readonly redis: Redis;
  /** Everything the gateway has logged. */
  readonly log: string[];
  makeKey(overrides?: Partial<NewApiKey>): Promise<MadeKey>;
  revoke(key: ApiKeyRow): Promise<void>;
  close(): Promise<void>;
}

export const startGateway = async (environment: Record<string, string> = {}, namespace = `test-${randomBytes(6).toString('hex')}`): Promise<GatewayFixture> => {
  const { databaseUrl, redisUrl } = testServices();
  const log: string[] = [];
  const logger = createLogger({ service: 'gateway', instance: namespace, level: 'debug', destination: { write: line => void log.push(line) } });
  const config = readGatewayConfig({
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    REDIS_NAMESPACE: namespace,
    GATEHOUSE_TRANSPORT_KEY: Buffer.alloc(32, 1).toString('base64'),
    PORT: '0',
    HOST: '127.0.0.1',
    // Tests of other things must not be throttled.
    RATE_LIMIT_AUTH_FAILURE: '100000',
    RATE_LIMIT_AUTH_FAILURE_BURST: '100000',
    ...environment,
  });
  const app = await createGateway({ config, logger, instance: namespace });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as { port: number };
  const database = openDatabase({ url: databaseUrl, applicationName: 'test', connectionsMax: 5 });
  const redis = openRedis({ url: environment['REDIS_URL'] ?? redisUrl, connectionName: 'test', logger });
  const keys = new KeysStore(database);
  return {
    app,
    port,
    url: `http://127.0.0.1:${port}`,
    namespace,
    database,
    redis,
    log,
    makeKey: async overrides => {
      const secret = generateApiKey();
      const teamId = overrides?.teamId ?? (await keys.team(`team-${uuidV7()}`, uuidV7())).id;
      const row = await keys.create({ id: uuidV7(), name: 'test', scopes: ['*'], userId: null, rateLimits: null, expiresAt: null, ...overrides, teamId, secretHash: hashApiKey(secret), ...apiKeyHint(secret) });
      return { ...row, secret, authorization: `Bearer ${secret}` };
    },
    revoke: async key => {
      const revoked = await keys.revoke(key.id, new Date());
      if (revoked !== null) await advanceEpoch(redis, namespace, revoked.secretHash);
    },
    close: async () => {
      await app.close();
      redis.disconnect();
      await database.$disconnect();
    },
  };
};
