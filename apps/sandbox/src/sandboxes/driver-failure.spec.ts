import { describe, expect, it } from '@jest/globals';
import { GatehouseError } from '@gatehouse/contracts';
import { DriverError, type DriverErrorKind } from '../drivers/driver-error.js';
import { driverFailure, preparationFailure, startFailure } from './driver-failure.js';

const seen = (failure: unknown): unknown => (failure instanceof GatehouseError ? failure.toEnvelope().error : failure);

describe('failures of the driver', () => {
  it.each<[DriverErrorKind, object]>([
    ['unavailable', { code: 'sandbox_error', message: 'went away', status: 503, retryAfter: 5 }],
    ['timed-out', { code: 'sandbox_error', message: 'went away', status: 503, retryAfter: 5 }],
    ['no-capacity', { code: 'sandbox_error', message: 'No sandbox capacity is available', status: 503, retryAfter: 5 }],
    ['failed', { code: 'sandbox_error', message: 'went away', status: 500 }],
    ['bad-cwd', { code: 'not_found', message: 'File not found', status: 404 }],
    ['not-found', { code: 'not_found', message: 'File not found', status: 404 }],
    ['wrong-kind', { code: 'validation_error', message: 'went away', status: 400 }],
    ['denied', { code: 'validation_error', message: 'went away', status: 400 }],
    ['occupied', { code: 'conflict', message: 'went away', status: 409 }],
    ['too-large', { code: 'invalid_request', message: 'went away', status: 400 }],
  ])('%s', (kind, expected) => {
    expect(seen(driverFailure(new DriverError(kind, 'went away')))).toEqual(expected);
  });

  it('that prevent a start can be tried again', () => {
    expect(seen(startFailure(new DriverError('failed', 'runc: /secret/path')))).toEqual({ code: 'sandbox_error', message: 'The sandbox could not be started', status: 503, retryAfter: 5 });
    expect(seen(startFailure(new DriverError('no-capacity', 'full')))).toMatchObject({ message: 'No sandbox capacity is available', status: 503 });
  });

  it.each<DriverErrorKind>(['denied', 'occupied', 'wrong-kind', 'bad-cwd', 'failed'])('%s while a sandbox is prepared is a sandbox that cannot be made', kind => {
    expect(seen(preparationFailure(new DriverError(kind, 'went away')))).toMatchObject({ code: 'sandbox_error', message: expect.stringContaining('went away'), status: 500 });
  });

  it('that are none of the driver stay what they are', () => {
    const fault = new TypeError('a bug');
    expect(driverFailure(fault)).toBe(fault);
    expect(startFailure(fault)).toBe(fault);
  });
});
