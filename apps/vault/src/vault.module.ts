import { type Database, pingDatabase } from '@gatehouse/database';
import { DATABASE, DatabaseModule, healthController, READINESS, type Readiness, type ServiceContext } from '@gatehouse/platform';
import { RunTokenVerifier } from '@gatehouse/sealing';
import { type DynamicModule, Module, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { AuditLog } from './audit/audit-log.js';
import { suggestionsOf, type VaultConfig } from './config.js';
import { CredentialViews } from './credentials/credential-view.js';
import { CredentialsService } from './credentials/credentials.service.js';
import { CredentialsStore } from './credentials/credentials.store.js';
import { refreshTokens } from './oauth/token-endpoint.js';
import { RefreshCredential, type RefreshTokens } from './releases/refresh-credential.js';
import { ReleaseStore } from './releases/release.store.js';
import { ReleasesService } from './releases/releases.service.js';
import { Touches } from './releases/touches.js';
import { KeyRotationService } from './rotation/key-rotation.service.js';
import { KeyRotationStore } from './rotation/key-rotation.store.js';
import { COVERAGE_MODE, JOBS, type JobsPlace, KEY_RING, LOGGER, REFRESH_TOKENS, RUN_TOKENS, SUGGESTIONS } from './tokens.js';
import { VaultsService } from './vaults/vaults.service.js';
import { VaultsStore } from './vaults/vaults.store.js';

const VaultHealth = healthController('vault');

@Module({})
export class VaultModule implements OnModuleDestroy, OnApplicationShutdown {
  constructor(
    private readonly refreshing: RefreshCredential,
    private readonly touches: Touches,
    private readonly audit: AuditLog,
  ) {}

  static forRoot({ config, logger, instance }: ServiceContext<VaultConfig>): DynamicModule {
    const refresh: RefreshTokens = request => refreshTokens(request, { allowPrivate: config.VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS });
    return {
      module: VaultModule,
      imports: [DatabaseModule.forRoot({ url: config.DATABASE_URL, applicationName: instance, connectionsMax: config.DATABASE_CONNECTIONS_MAX, logger })],
      controllers: [VaultsService, CredentialsService, ReleasesService, KeyRotationService, VaultHealth],
      providers: [
        { provide: LOGGER, useValue: logger },
        { provide: KEY_RING, useValue: config.VAULT_KEY_RING },
        { provide: RUN_TOKENS, useValue: new RunTokenVerifier(config.RUN_TOKEN_PUBLIC_KEYS) },
        { provide: COVERAGE_MODE, useValue: config.VAULT_COVERAGE_MODE },
        { provide: SUGGESTIONS, useValue: suggestionsOf(config) },
        { provide: JOBS, useValue: { redisUrl: config.REDIS_URL, namespace: config.REDIS_NAMESPACE } satisfies JobsPlace },
        { provide: REFRESH_TOKENS, useValue: refresh },
        { provide: READINESS, inject: [DATABASE], useFactory: (database: Database): Readiness => ({ instance, probe: () => pingDatabase(database) }) },
        ...[VaultsStore, CredentialsStore, CredentialViews, ReleaseStore, RefreshCredential, Touches, KeyRotationStore],
        { provide: AuditLog, inject: [DATABASE], useFactory: (database: Database) => AuditLog.open(database, logger, { days: config.VAULT_AUDIT_DAYS }) },
      ],
    };
  }

  /** Before calls are drained: those that only wait for a refresh need not be waited for. */
  onModuleDestroy(): void {
    void this.refreshing.close();
  }

  /** After the last call has ended, so that nothing comes behind what is written down here. */
  async onApplicationShutdown(): Promise<void> {
    await this.refreshing.close();
    await this.touches.close();
    await this.audit.close();
  }
}
