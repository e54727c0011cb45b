import { GatehouseError } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import { DriverError } from '../drivers/driver-error.js';

export type StepLog = Pick<Logger, 'info'>;

/**
 * Does one step of making a sandbox and logs how long it took, and what `tell` makes of its outcome or why it failed. Commands, files
 * and variables may hold secrets: `step` and what is told are numbers and words of ours.
 */
export const loggedStep = async <Outcome>(log: StepLog, step: Readonly<Record<string, string | number>>, work: () => Promise<Outcome>, tell: (outcome: Outcome) => object = () => ({})): Promise<Outcome> => {
  const began = performance.now();
  const ms = (): number => Math.round(performance.now() - began);
  try {
    const outcome = await work();
    log.info({ ...step, ...tell(outcome), ms: ms() }, 'sandbox setup');
    return outcome;
  } catch (error) {
    log.info({ ...step, failed: reasonOf(error), ms: ms() }, 'sandbox setup');
    throw error;
  }
};

/** Only these have messages that are fit for callers; those of others may quote what a caller wrote. */
const reasonOf = (error: unknown): string => (error instanceof GatehouseError || error instanceof DriverError ? error.message : 'unexpected error');
