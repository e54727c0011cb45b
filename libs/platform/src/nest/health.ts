import { type Caller, healthRpc, type RpcHandlers, type ServiceName, type ServiceReadiness } from '@gatehouse/contracts';
import { RpcService } from '@gatehouse/rpc';
import { Inject, type Type } from '@nestjs/common';

/** What a service needs in order to work. `probe` throws when something of it does not answer. */
export interface Readiness {
  readonly instance: string;
  probe(): Promise<void>;
}
export const READINESS = Symbol('Readiness');

/** The class that answers `healthRpc(service)`; the module provides {@link READINESS}. */
export const healthController = (service: ServiceName): Type<RpcHandlers<ReturnType<typeof healthRpc>>> => {
  @RpcService(healthRpc(service))
  class HealthService implements RpcHandlers<ReturnType<typeof healthRpc>> {
    constructor(@Inject(READINESS) private readonly readiness: Readiness) {}

    async check(_caller: Caller): Promise<ServiceReadiness> {
      await this.readiness.probe();
      return { instance: this.readiness.instance };
    }
  }
  return HealthService;
};
