import { expect, it } from '@jest/globals';
import { notFound } from '@gatehouse/contracts';
import { DriverError } from '../drivers/driver-error.js';
import { loggedStep } from './logged-step.js';

it.each([
  [new DriverError('failed', 'The disk is full'), 'The disk is full'],
  [notFound('Sandbox'), 'Sandbox not found'],
  [new Error("ENOENT: no such file, open '/planted'"), 'unexpected error'],
  ['planted', 'unexpected error'],
])('a step that fails with %s is logged with what is fit to be said, and throws the same', async (error, failed) => {
  const lines: unknown[] = [];
  await expect(loggedStep({ info: (line: unknown) => void lines.push(line) }, { step: 'x' }, () => Promise.reject(error as Error))).rejects.toBe(error);
  expect(lines).toEqual([{ step: 'x', failed, ms: expect.any(Number) }]);
});
