import type { FileEntry as FileEntryView } from '@gatehouse/contracts';
import type { FileEntry } from '../drivers/sandbox.driver.js';

/** Accounts every sandbox has; others are told by their number. */
const ACCOUNTS: ReadonlyMap<number, string> = new Map([
  [0, 'root'],
  [1000, 'user'],
]);
const TYPE_LETTERS = { file: '-', dir: 'd', symlink: 'l' } as const;
/** The last moment that ISO 8601 writes with four digits of a year. A file may claim any time. */
const LAST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** What is at a path, as callers see it (spec 6.2). What is not known is absent. */
export const entryView = ({ name, path, type, size, mode, uid, gid, modifiedMs, symlinkTarget }: FileEntry): FileEntryView => ({
  name,
  path,
  ...(type === undefined ? {} : { type }),
  size,
  mode,
  ...(type === undefined ? {} : { permissions: permissionsOf(type, mode) }),
  owner: accountOf(uid),
  group: accountOf(gid),
  ...(modifiedMs >= 0 && modifiedMs <= LAST_MS ? { modifiedTime: new Date(modifiedMs).toISOString() } : {}),
  ...(symlinkTarget === undefined ? {} : { symlinkTarget }),
});

const accountOf = (id: number): string => ACCOUNTS.get(id) ?? String(id);

/** As `ls` shows them: the bits that run a file as its owner or group, or keep a directory's files to their owners, share the place of the `x`. */
const permissionsOf = (type: keyof typeof TYPE_LETTERS, mode: number): string =>
  [TYPE_LETTERS[type], triple(mode >> 6, mode & 0o4000, 's'), triple(mode >> 3, mode & 0o2000, 's'), triple(mode, mode & 0o1000, 't')].join('');

const triple = (bits: number, special: number, letter: string): string => {
  const executable = (bits & 1) !== 0;
  const last = special === 0 ? (executable ? 'x' : '-') : executable ? letter : letter.toUpperCase();
  return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${last}`;
};
