import { type Database, pingDatabase } from '@gatehouse/database';
import { DATABASE, DatabaseModule, healthController, READINESS, type Readiness, type ServiceContext } from '@gatehouse/platform';
import { type DynamicModule, Module } from '@nestjs/common';
import type { VaultConfig } from './config.js';

const VaultHealth = healthController('vault');

@Module({})
export class VaultModule {
  static forRoot({ config, logger, instance }: ServiceContext<VaultConfig>): DynamicModule {
    return {
      module: VaultModule,
      imports: [DatabaseModule.forRoot({ url: config.DATABASE_URL, applicationName: instance, connectionsMax: config.DATABASE_CONNECTIONS_MAX, logger })],
      controllers: [VaultHealth],
      providers: [{ provide: READINESS, inject: [DATABASE], useFactory: (database: Database): Readiness => ({ instance, probe: () => pingDatabase(database) }) }],
    };
  }
}
