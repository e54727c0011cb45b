import { type Database, openDatabase } from '@gatehouse/database';
import { type DynamicModule, Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from '../logger.js';

/** Token of the process's {@link Database}. */
export const DATABASE = Symbol('Database');
export const InjectDatabase = (): ReturnType<typeof Inject> => Inject(DATABASE);

export interface DatabaseModuleOptions {
  readonly url: string;
  readonly applicationName: string;
  readonly connectionsMax: number;
  readonly logger: Logger;
}

/** Postgres of one process, closed when all else has ended. */
@Global()
@Module({})
export class DatabaseModule implements OnApplicationShutdown {
  constructor(@InjectDatabase() private readonly database: Database) {}

  static forRoot({ logger, ...options }: DatabaseModuleOptions): DynamicModule {
    const database = openDatabase({ ...options, onConnectionError: err => logger.warn({ err }, 'database connection lost') });
    return { module: DatabaseModule, providers: [{ provide: DATABASE, useValue: database }], exports: [DATABASE] };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.database.$disconnect();
  }
}
