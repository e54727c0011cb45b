import { type GatehouseError, type ServiceName, sandboxUnavailable, unavailable } from '@gatehouse/contracts';

/** No instance of the service can be asked, or the asked one is gone. */
export const unreachable = (service: ServiceName, cause: unknown): GatehouseError =>
  service === 'sandbox' ? sandboxUnavailable('Sandbox service is not reachable', cause) : unavailable(cause);

/** The deadline has passed. */
export const unanswered = (service: ServiceName, cause: unknown): GatehouseError =>
  service === 'sandbox' ? sandboxUnavailable('Sandbox service did not answer in time', cause) : unavailable(cause);

/** It has more to do than it may take on. */
export const busy = (service: ServiceName): GatehouseError =>
  service === 'sandbox' ? sandboxUnavailable('Sandbox service has too much to do', undefined, 1) : unavailable(undefined, 1);
