import { isUuid, notFound } from '@gatehouse/contracts';

/**
 * The id of a vault as rows have it.
 * @throws GatehouseError `not_found`: what cannot be an id is a vault that does not exist
 */
export const vaultIdOf = (id: string): string => {
  if (!isUuid(id)) throw notFound('Vault');
  return id.toLowerCase();
};
