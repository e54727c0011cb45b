import { describe, expect, it } from '@jest/globals';
import { NO_HISTORY, type ThreadHistory, type ThreadRow, threadView } from './thread-view.js';

const row: ThreadRow = { id: '01956f0e-6a00-7b02-8f10-5f3f0a7d9c22', name: null, status: 'idle', externalUserId: null, createdAt: '2026-03-01T10:30:00+01:00', updatedAt: '2026-03-01T09:30:00.1234+00:00' };
const usage = { inputTokens: 900, outputTokens: 12, totalTokens: 912, totalCostUsd: 0.0042, durationMs: 1_800 };
const endedAt = new Date('2026-03-01T09:30:04.000Z');

describe('threadView', () => {
  it('of a thread in which nothing has run', () => {
    expect(threadView(row, NO_HISTORY)).toEqual({
      id: row.id,
      name: null,
      status: 'idle',
      externalUserId: null,
      createdAt: '2026-03-01T09:30:00.000Z',
      updatedAt: '2026-03-01T09:30:00.123Z',
      messages: [],
      usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0, totalCostUsd: 0, durationMs: 0 },
      error: null,
      completedAt: null,
    });
  });

  it.each<[how: string, lastRun: ThreadHistory['lastRun'], error: string | null, completedAt: string | null]>([
    ['is in progress', { endedAt: null, error: null }, null, null],
    ['ended', { endedAt, error: null }, null, '2026-03-01T09:30:04.000Z'],
    ['failed', { endedAt, error: { code: 'sandbox_error', message: 'The sandbox went away' } }, 'sandbox_error: The sandbox went away', '2026-03-01T09:30:04.000Z'],
  ])('of a thread whose last run %s', (_how, lastRun, error, completedAt) => {
    const messages = [{ id: 'msg-1', role: 'user', parts: [{ type: 'text', text: 'Say hello' }] }];
    expect(threadView(row, { messages, usage, lastRun })).toMatchObject({ messages, usage, error, completedAt });
  });
});
