import { describe, expect, test } from '@jest/globals';
import type { FileEntry } from '../drivers/sandbox.driver.js';
import { entryView } from './entry-view.js';

const entry = (changes: Partial<FileEntry> = {}): FileEntry => ({ name: 'a', path: '/home/user/a', type: 'file', size: 3, mode: 0o644, uid: 1000, gid: 1000, modifiedMs: Date.UTC(2026, 2, 1, 9, 30), ...changes });
test('an entry is told whole', () => {
  expect(entryView(entry())).toEqual({ name: 'a', path: '/home/user/a', type: 'file', size: 3, mode: 420, permissions: '-rw-r--r--', owner: 'user', group: 'user', modifiedTime: '2026-03-01T09:30:00.000Z' });
  expect(entryView(entry({ type: 'symlink', mode: 0o777, symlinkTarget: '../b' }))).toMatchObject({ type: 'symlink', permissions: 'lrwxrwxrwx', symlinkTarget: '../b' });
  expect(entryView(entry({ uid: 0, gid: 7 }))).toMatchObject({ owner: 'root', group: '7' });
});

test('what is not known is absent, never null', () => {
  const other = entryView({ name: 'p', path: '/p', size: 0, mode: 0o644, uid: 0, gid: 0, modifiedMs: 0 });
  expect(Object.keys(other)).toEqual(['name', 'path', 'size', 'mode', 'owner', 'group', 'modifiedTime']);
  for (const modifiedMs of [NaN, Infinity, -1, 8.64e15, 1e300]) expect(Object.keys(entryView(entry({ modifiedMs })))).not.toContain('modifiedTime');
});

describe('permissions', () => {
  test.each<[FileEntry['type'], number, string]>([
    ['file', 0o000, '----------'],
    ['file', 0o755, '-rwxr-xr-x'],
    ['dir', 0o755, 'drwxr-xr-x'],
    ['dir', 0o1777, 'drwxrwxrwt'],
    ['dir', 0o1776, 'drwxrwxrwT'],
    ['file', 0o4755, '-rwsr-xr-x'],
    ['file', 0o4644, '-rwSr--r--'],
    ['file', 0o2755, '-rwxr-sr-x'],
    ['file', 0o2745, '-rwxr-Sr-x'],
    ['file', 0o7777, '-rwsrwsrwt'],
    ['file', 0o7000, '---S--S--T'],
  ])('%s %o is %s', (type, mode, permissions) => {
    expect(entryView(entry(type === undefined ? { mode } : { type, mode })).permissions).toBe(permissions);
  });
});
