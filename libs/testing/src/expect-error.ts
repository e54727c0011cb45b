import { type ErrorCode, GatehouseError } from '@gatehouse/contracts';

/** The failure of a call, which must be an error of the contract with this code; fails the test otherwise. */
export const expectError = async <C extends ErrorCode>(work: Promise<unknown>, code: C): Promise<GatehouseError<C>> => {
  const outcome = await work.then(
    value => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in outcome) throw new Error(`expected ${code}, but it succeeded with ${JSON.stringify(outcome.value)}`);
  const { error } = outcome;
  if (!(error instanceof GatehouseError) || error.code !== code) throw new Error(`expected ${code}, but it failed with ${String(error)}`, { cause: error });
  return error as GatehouseError<C>;
};
