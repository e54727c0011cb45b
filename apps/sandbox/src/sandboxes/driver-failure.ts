import { GatehouseError, notFound, sandboxFailed, sandboxUnavailable } from '@gatehouse/contracts';
import { DriverError } from '../drivers/driver-error.js';

/** What a failure of the driver means to a caller. The only place where its kinds become errors of the contract. */
export const driverFailure = (error: unknown): unknown => {
  if (!(error instanceof DriverError)) return error;
  switch (error.kind) {
    case 'no-capacity':
      return sandboxUnavailable('No sandbox capacity is available', error);
    case 'unavailable':
    case 'timed-out':
      return sandboxUnavailable(error.message, error);
    case 'bad-cwd':
    case 'not-found':
      return notFound('File');
    case 'wrong-kind':
    case 'denied':
      return new GatehouseError('validation_error', error.message, undefined, error);
    case 'occupied':
      return new GatehouseError('conflict', error.message, undefined, error);
    case 'too-large':
      return new GatehouseError('invalid_request', error.message, undefined, error);
    case 'failed':
      return sandboxFailed(error.message, error);
  }
};

/** A start that fails is always worth another try: the sandbox it was to make is not there yet. */
export const startFailure = (error: unknown): unknown =>
  error instanceof DriverError && error.kind === 'failed' ? sandboxUnavailable('The sandbox could not be started', error) : driverFailure(error);

/** What the files and commands of a definition run into is no fault of this request: the sandbox could not be made as it is defined. */
export const preparationFailure = (error: unknown): unknown => {
  const failure = driverFailure(error);
  const ofAFile = error instanceof DriverError && failure instanceof GatehouseError && failure.code !== 'sandbox_error';
  return ofAFile ? sandboxFailed(`The sandbox could not be prepared: ${error.message}`, error) : failure;
};

/** Awaits work of the driver; what it throws is an error of the contract. */
export const driven = async <T>(work: Promise<T>, meaning: (error: unknown) => unknown = driverFailure): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    throw meaning(error);
  }
};
