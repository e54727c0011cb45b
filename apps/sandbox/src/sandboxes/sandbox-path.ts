import { posix } from 'node:path';

export const HOME = '/home/user';

/** A caller's path as an absolute one: relative paths start at home, `.` and `..` are resolved by their text (spec 6.1). */
export const sandboxPath = (path: string): string => posix.resolve(HOME, path);
