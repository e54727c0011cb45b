import { healthController, READINESS, type Readiness, type ServiceContext } from '@gatehouse/platform';
import { type DynamicModule, Module } from '@nestjs/common';
import type { EgressConfig } from './config.js';

const EgressHealth = healthController('egress');

@Module({})
export class EgressModule {
  static forRoot({ instance }: ServiceContext<EgressConfig>): DynamicModule {
    return {
      module: EgressModule,
      controllers: [EgressHealth],
      // It owns no rows: that it answers is all there is to know.
      providers: [{ provide: READINESS, useValue: { instance, probe: async () => undefined } satisfies Readiness }],
    };
  }
}
