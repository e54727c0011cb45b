import { type Database, pingDatabase } from '@gatehouse/database';
import { DATABASE, DatabaseModule, healthController, READINESS, type Readiness, type ServiceContext } from '@gatehouse/platform';
import { type DynamicModule, Module } from '@nestjs/common';
import type { BudgetConfig } from './config.js';

const BudgetHealth = healthController('budget');

@Module({})
export class BudgetModule {
  static forRoot({ config, logger, instance }: ServiceContext<BudgetConfig>): DynamicModule {
    return {
      module: BudgetModule,
      imports: [DatabaseModule.forRoot({ url: config.DATABASE_URL, applicationName: instance, connectionsMax: config.DATABASE_CONNECTIONS_MAX, logger })],
      controllers: [BudgetHealth],
      providers: [{ provide: READINESS, inject: [DATABASE], useFactory: (database: Database): Readiness => ({ instance, probe: () => pingDatabase(database) }) }],
    };
  }
}
