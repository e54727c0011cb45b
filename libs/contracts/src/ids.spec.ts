import { describe, expect, test } from '@jest/globals';
import { isAgentSlug, isSandboxId, isUuid, uuidV4, uuidV7 } from './ids.js';

describe('ids', () => {
  test.each(['a', '0', 'a-b', 'a--b', 'x'.repeat(100)])('%p is a slug', slug => expect(isAgentSlug(slug)).toBe(true));
  test.each(['', '-a', 'a-', 'A', 'a_b', 'a.b', 'x'.repeat(101), 'a\n', 'é'])('%p is no slug', slug => expect(isAgentSlug(slug)).toBe(false));

  test.each(['a', 'user-123', 'A.b_c~d', 'x'.repeat(128)])('%p is a sandbox id', id => expect(isSandboxId(id)).toBe(true));
  test.each(['', '-a', '.a', 'user:1', 'a@b.c', 'a/b', 'x'.repeat(129), 'a\n'])('%p is no sandbox id', id => expect(isSandboxId(id)).toBe(false));

  test('makes uuids of the versions it names', () => {
    expect(uuidV4()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    expect(uuidV7()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/);
    expect(isUuid(uuidV4()) && isUuid(uuidV7()) && isUuid(uuidV4().toUpperCase())).toBe(true);
    expect(isUuid('not-a-uuid')).toBe(false);
  });

  test('version 7 ids sort by the time they were made', () => {
    const times = [1, 1.0004, 1.5, 2, 1_000_000_000_000, 1_767_225_600_000.25];
    const ids = times.map(time => uuidV7(time));
    expect([...ids].sort()).toEqual(ids);
  });
});
