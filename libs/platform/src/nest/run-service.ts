import { hostname } from 'node:os';
import type { RpcContract, ServiceName } from '@gatehouse/contracts';
import { RedisBus, RpcModule, RpcServer } from '@gatehouse/rpc';
import type { DynamicModule, INestMicroservice, Type } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createLogger, type Logger } from '../logger.js';
import { runProcess } from '../process.js';
import { NestLogger } from './nest-logger.js';

/** The part of every process's configuration that the transport and the log need. */
export interface TransportConfig {
  readonly LOG_LEVEL: string;
  readonly REDIS_URL: string;
  readonly REDIS_NAMESPACE: string;
  readonly GATEHOUSE_TRANSPORT_KEY: Buffer;
  readonly INSTANCE_ID?: string | undefined;
}

export interface ServiceContext<Config> {
  readonly config: Config;
  readonly logger: Logger;
  readonly instance: string;
}

export interface ServiceDefinition<Config extends TransportConfig> {
  readonly service: ServiceName;
  readonly readConfig: (environment: NodeJS.ProcessEnv) => Config;
  /** What it answers; the process does not start unless each method has exactly one handler. */
  readonly contracts: readonly RpcContract[];
  /** What it asks of others. */
  readonly calls?: readonly RpcContract[];
  /** Unique among the live instances of the service. Default: INSTANCE_ID, else host and process id. */
  readonly instanceOf?: (config: Config) => string;
  readonly module: (context: ServiceContext<Config>) => DynamicModule | Type;
}

export const instanceName = (service: string, configured: string | undefined): string => configured ?? `${service}-${hostname()}-${process.pid}`;

@Module({})
class ServiceRoot {}

/** Builds a service without starting it. */
export const createService = async <Config extends TransportConfig>(definition: ServiceDefinition<Config>, { config, logger, instance }: ServiceContext<Config>): Promise<INestMicroservice> => {
  const { service, contracts, calls = [], module } = definition;
  const rpc = RpcModule.forRoot({
    serves: { service, contracts },
    calls,
    useFactory: () => ({
      bus: new RedisBus({ url: config.REDIS_URL, logger }),
      transportKey: config.GATEHOUSE_TRANSPORT_KEY,
      namespace: config.REDIS_NAMESPACE,
      logger,
      instance,
    }),
  });
  return NestFactory.createMicroservice(
    { module: ServiceRoot, imports: [rpc, module({ config, logger, instance })] },
    { inject: [RpcServer], useFactory: (server: RpcServer) => ({ strategy: server }), logger: new NestLogger(logger), abortOnError: false },
  );
};

/** The whole life of a service's process. */
export const runService = async <Config extends TransportConfig>(definition: ServiceDefinition<Config>): Promise<void> => {
  let logger: Logger | undefined;
  await runProcess(
    () => logger,
    async () => {
      const config = definition.readConfig(process.env);
      const instance = definition.instanceOf?.(config) ?? instanceName(definition.service, config.INSTANCE_ID);
      logger = createLogger({ service: definition.service, instance, level: config.LOG_LEVEL });
      const app = await createService(definition, { config, logger, instance });
      await app.listen();
      logger.info('ready');
      return app;
    },
  );
};
