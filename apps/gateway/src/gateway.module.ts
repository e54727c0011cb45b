import { agentsRpc, credentialsRpc, filesRpc, gitRpc, healthRpc, type RpcClient, sandboxesRpc, threadsRpc, vaultsRpc } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { DATABASE, DatabaseModule, type Logger, openRedis } from '@gatehouse/platform';
import { RedisBus, rpcClientToken, RpcModule } from '@gatehouse/rpc';
import { type DynamicModule, Inject, Module, type OnApplicationShutdown, type Provider } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import type { Redis } from 'ioredis';
import { AgentsController } from './agents/agents.controller.js';
import { corsOriginsOf, type GatewayConfig, policiesOf } from './config.js';
import { Authenticator } from './edge/authenticator.js';
import { Edge } from './edge/edge.js';
import { HeldAnswers } from './edge/held-answers.js';
import { HttpErrorFilter } from './edge/http-error.filter.js';
import { HealthController } from './health/health.controller.js';
import { Readiness } from './health/readiness.js';
import { KeyCache } from './keys/key-cache.js';
import { readEpoch } from './keys/key-epochs.js';
import { KeysStore } from './keys/keys.store.js';
import { LastUsed } from './keys/last-used.js';
import { LocalRateLimiter } from './limits/local-rate-limiter.js';
import { RateLimiter } from './limits/rate-limiter.js';
import { MeController } from './me/me.controller.js';
import { FilesController, UPLOAD_SILENCE_MS } from './sandboxes/files.controller.js';
import { GitController } from './sandboxes/git.controller.js';
import { SandboxesController } from './sandboxes/sandboxes.controller.js';
import { ThreadsController } from './sandboxes/threads.controller.js';
import { CredentialsController } from './vaults/credentials.controller.js';
import { VaultsController } from './vaults/vaults.controller.js';

export interface GatewayContext {
  readonly config: GatewayConfig;
  readonly logger: Logger;
  readonly instance: string;
}

const REDIS = Symbol('Redis');
/** A sandbox that stands still is started before its end of a stream of bytes is there. */
const STREAM_ARRIVAL_MS = 60_000;
const health = { vault: healthRpc('vault'), sandbox: healthRpc('sandbox'), budget: healthRpc('budget') };
type HealthClient = RpcClient<(typeof health)['vault']>;

@Module({})
export class GatewayModule implements OnApplicationShutdown {
  constructor(
    private readonly lastUsed: LastUsed,
    @Inject(REDIS) private readonly redis: Redis,
  ) {}

  static forRoot({ config, logger, instance }: GatewayContext): DynamicModule {
    return {
      module: GatewayModule,
      imports: [
        DatabaseModule.forRoot({ url: config.DATABASE_URL, applicationName: instance, connectionsMax: config.DATABASE_CONNECTIONS_MAX, logger }),
        RpcModule.forRoot({
          calls: [agentsRpc, sandboxesRpc, filesRpc, threadsRpc, gitRpc, vaultsRpc, credentialsRpc, ...Object.values(health)],
          useFactory: () => ({ bus: new RedisBus({ url: config.REDIS_URL, logger }), transportKey: config.GATEHOUSE_TRANSPORT_KEY, namespace: config.REDIS_NAMESPACE, logger, streamArrivalMs: STREAM_ARRIVAL_MS }),
        }),
      ],
      controllers: [HealthController, MeController, AgentsController, SandboxesController, FilesController, ThreadsController, GitController, VaultsController, CredentialsController],
      providers: [
        HeldAnswers,
        { provide: UPLOAD_SILENCE_MS, useValue: config.UPLOAD_SILENCE_SECONDS * 1_000 },
        { provide: REDIS, useFactory: () => openRedis({ url: config.REDIS_URL, connectionName: instance, logger }) },
        { provide: HttpErrorFilter, useFactory: () => new HttpErrorFilter(logger, corsOriginsOf(config)) },
        { provide: APP_FILTER, useExisting: HttpErrorFilter },
        { provide: KeysStore, inject: [DATABASE], useFactory: (database: Database) => new KeysStore(database) },
        { provide: LastUsed, inject: [KeysStore], useFactory: (keys: KeysStore) => new LastUsed(keys, logger) },
        ...edgeProviders({ config, logger, instance }),
        {
          provide: Readiness,
          inject: [DATABASE, REDIS, ...Object.values(health).map(rpcClientToken)],
          useFactory: (database: Database, redis: Redis, vault: HealthClient, sandbox: HealthClient, budget: HealthClient) => new Readiness(database, redis, { vault, sandbox, budget }),
        },
      ],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.lastUsed.close();
    this.redis.disconnect();
  }
}

/** What the edge decides with. All of it is ready before the first request. */
const edgeProviders = ({ config, logger }: GatewayContext): Provider[] => [
  {
    provide: KeyCache,
    inject: [KeysStore, REDIS],
    useFactory: (keys: KeysStore, redis: Redis) => {
      const cache = new KeyCache({
        // An epoch that cannot be asked leaves the row unconfirmed: the cache then looks again, soon.
        readEpoch: async secretHash => readEpoch(redis, config.REDIS_NAMESPACE, secretHash),
        loadRow: async secretHash => keys.findByHash(secretHash),
      });
      // A Redis that comes back may have forgotten epochs.
      redis.on('ready', () => cache.clear());
      return cache;
    },
  },
  {
    provide: RateLimiter,
    inject: [REDIS],
    useFactory: (redis: Redis) => new RateLimiter(redis, new LocalRateLimiter(config.GATEWAY_REPLICAS), err => logger.warn({ err }, 'rate limits are local: the shared store does not answer'), config.REDIS_NAMESPACE),
  },
  {
    provide: Authenticator,
    inject: [KeyCache, RateLimiter, LastUsed],
    useFactory: (keys: KeyCache, limiter: RateLimiter, lastUsed: LastUsed) => new Authenticator(keys, limiter, policiesOf(config), lastUsed, config.REDIS_NAMESPACE),
  },
  { provide: Edge, inject: [Authenticator], useFactory: (authenticator: Authenticator) => new Edge(authenticator, corsOriginsOf(config)) },
];
