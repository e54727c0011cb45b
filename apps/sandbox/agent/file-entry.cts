import { lstatSync, readlinkSync, type Stats } from 'node:fs';

export interface FileEntry {
  type?: 'file' | 'dir' | 'symlink';
  size: number;
  mode: number;
  uid: number;
  gid: number;
  modifiedMs: number;
  symlinkTarget?: string;
}

/** What is at the path itself. As the command user. */
export function entryAt(path: string | Buffer): FileEntry {
  const stats = lstatSync(path);
  const symlinkTarget = stats.isSymbolicLink() ? targetOf(path) : undefined;
  const type = typeOf(stats);
  return {
    ...(type && { type }),
    size: Math.min(stats.size, Number.MAX_SAFE_INTEGER), // a sparse file of a tmpfs may have 8 EiB
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    modifiedMs: Math.floor(stats.mtimeMs),
    ...(symlinkTarget !== undefined && { symlinkTarget }),
  };
}

function typeOf(stats: Stats): FileEntry['type'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'dir';
  return stats.isSymbolicLink() ? 'symlink' : undefined;
}

function targetOf(path: string | Buffer): string | undefined {
  try {
    return readlinkSync(path);
  } catch (_replaced) {
    return undefined; // it was a link a moment ago
  }
}
