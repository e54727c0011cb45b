import { type ErrorCode, GatehouseError } from '@gatehouse/contracts';
import { expect } from '@jest/globals';

/** The error a call must fail with. */
export const expectError = async (call: Promise<unknown>, code: ErrorCode, status?: number): Promise<GatehouseError> => {
  const outcome = await call.then(
    value => ({ value }),
    (error: unknown) => ({ error }),
  );
  if (!('error' in outcome)) throw new Error(`Expected ${code}, got ${JSON.stringify(outcome.value)}`);
  if (!(outcome.error instanceof GatehouseError)) throw new Error('Expected a GatehouseError', { cause: outcome.error });
  expect(outcome.error.code).toBe(code);
  if (status !== undefined) expect(outcome.error.status).toBe(status);
  return outcome.error;
};

/** Polls until the condition holds. */
export const eventually = async (condition: () => boolean | Promise<boolean>, deadlineMs = 5_000): Promise<void> => {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not so within ${deadlineMs} ms: ${condition.toString()}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
};
