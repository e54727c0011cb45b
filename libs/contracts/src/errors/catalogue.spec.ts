import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ERROR_CATALOGUE, ERROR_CODES, statusOf } from './catalogue.js';
import { type ErrorEnvelope, GatehouseError, internalError, sandboxTimedOut, sandboxUnavailable, unavailable } from './gatehouse-error.js';

const pages = new URL('../../../../docs/errors/', import.meta.url);
const pageOf = (code: string): string => readFileSync(new URL(`${code}.md`, pages), 'utf8');
const examplesOf = (page: string): ErrorEnvelope[] => [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json = '']) => JSON.parse(json) as ErrorEnvelope);

describe('the catalogue', () => {
  test('has the thirteen documented codes and only documented statuses', () => {
    expect([...ERROR_CODES].sort()).toEqual(
      [
        'budget_exceeded',
        'conflict',
        'credential_cap_exceeded',
        'forbidden',
        'internal_error',
        'invalid_request',
        'not_found',
        'rate_limit_exceeded',
        'sandbox_error',
        'stream_active',
        'unauthorized',
        'validation_error',
        'vault_coverage_missing',
      ].sort(),
    );
    const statuses = new Set(Object.values(ERROR_CATALOGUE).flatMap(({ status, statusWithRetryAfter }) => [status, statusWithRetryAfter]));
    expect([...statuses].sort()).toEqual([400, 401, 403, 404, 409, 422, 429, 500, 503]);
  });

  test('has a page per code and a code per page', () => {
    const documented = readdirSync(pages)
      .filter(name => name.endsWith('.md') && name !== 'README.md')
      .map(name => name.slice(0, -'.md'.length));
    expect(documented.sort()).toEqual([...ERROR_CODES].sort());
  });

  test.each([...ERROR_CODES])('%s: its page shows a true body for each of its statuses, and what to do', code => {
    const page = pageOf(code);
    expect(page.startsWith(`# ${code}\n`)).toBe(true);
    for (const heading of ['## What happened', '## How to fix it', '## Retrying']) expect(page).toContain(heading);

    const examples = examplesOf(page);
    const { status, statusWithRetryAfter } = ERROR_CATALOGUE[code];
    expect(new Set(examples.map(({ error }) => error.status))).toEqual(new Set([status, statusWithRetryAfter]));
    for (const { error } of examples) {
      const { code: shown, message, status: shownStatus, ...extras } = error;
      expect(shown).toBe(code);
      expect(message).not.toBe('');
      expect(shownStatus).toBe(statusOf(code, extras));
    }
  });
});

describe('GatehouseError', () => {
  test('puts its extras beside code, message and status, and nothing else', () => {
    const error = new GatehouseError('stream_active', 'A stream is already active for this sandbox', { runId: 'r', threadId: 't', sandboxId: 's' }, new Error('secret cause'));
    expect(error.toEnvelope()).toEqual({ error: { code: 'stream_active', message: 'A stream is already active for this sandbox', status: 409, runId: 'r', threadId: 't', sandboxId: 's' } });
    expect(JSON.stringify(error.toEnvelope())).not.toContain('secret');
  });

  test('is temporary exactly when it says when to retry', () => {
    expect(internalError().status).toBe(500);
    expect(unavailable().status).toBe(503);
    expect(unavailable().retryAfter).toBe(5);
    expect(sandboxTimedOut('Command timed out after 5 ms').toEnvelope().error).toMatchObject({ status: 500, timedOut: true });
    expect(sandboxUnavailable('No sandbox capacity is available').toEnvelope().error).toMatchObject({ status: 503, retryAfter: 5 });
    expect(new GatehouseError('conflict', 'still in progress', { retryAfter: 1 }).status).toBe(409);
  });

  test('crosses a wire without a status and comes back whole', () => {
    const error = new GatehouseError('budget_exceeded', 'Budget exceeded', { scope: 'team', scopeId: null, limitUsd: 1, spentUsd: 1, heldUsd: 0, resetsAt: null });
    const wire: unknown = JSON.parse(JSON.stringify(error.toWire()));
    expect(wire).not.toHaveProperty('status');
    expect(GatehouseError.fromWire(wire).toEnvelope()).toEqual(error.toEnvelope());
  });

  test.each([null, 'text', { code: 'no_such_code', message: 'x' }, { code: 'constructor', message: 'x' }, { code: 'conflict' }, { code: 'conflict', message: 'x', extras: 7 }])('reads %p from a wire as a fault of ours', value => {
    expect(GatehouseError.fromWire(value).toEnvelope()).toEqual({ error: { code: 'internal_error', message: 'Internal server error', status: 500 } });
  });
});
