import { describe, expect, it } from '@jest/globals';
import { SANDBOX_STATUSES, type SandboxStatus } from '@gatehouse/contracts';
import { TRANSITIONS, type SandboxEvent } from './sandbox-state.js';

const table: [event: SandboxEvent, creating: string | null, active: string | null, stopped: string | null, error: string | null][] = [
  ['ready', 'active', null, null, null],
  ['discard', 'gone', null, null, null],
  ['stop', null, 'stopped', null, null],
  ['lose', null, 'error', null, null],
  ['wake', 'creating', 'creating', 'creating', 'creating'],
  ['fail', 'error', null, null, null],
  ['restart', 'stopped', 'stopped', null, null],
  ['delete', 'gone', 'gone', 'gone', 'gone'],
];

describe('the states of a sandbox', () => {
  it.each(table)('%s: creating -> %s, active -> %s, stopped -> %s, error -> %s', (event, ...next) => {
    const { from, to } = TRANSITIONS[event];
    expect(SANDBOX_STATUSES.map(status => ((from as readonly SandboxStatus[]).includes(status) ? to : null))).toEqual(next);
  });
});
