import { type GatehouseError, type ServiceName, sandboxUnavailable, unavailable } from '@gatehouse/contracts';

/** No instance of the service can be asked, or the asked one is gone. */
export const unreachable = (service: ServiceName, cause: unknown): GatehouseError =>
  service === 'sandbox' ? sandboxUnavailable('Sandbox service is not reachable', cause) : unavailable(cause);

/** The deadline has passed. */
export const unanswered = (service: ServiceName, cause: unknown): GatehouseError =>
  service === 'sandbox' ? sandboxUnavailable('Sandbox service did not answer in time', cause) : unavailable(cause);
