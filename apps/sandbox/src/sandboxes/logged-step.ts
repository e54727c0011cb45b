import type { Logger } from '@gatehouse/platform';

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
    log.info({ ...step, failed: error instanceof Error ? error.message : 'unknown', ms: ms() }, 'sandbox setup');
    throw error;
  }
};
