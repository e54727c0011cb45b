import { closeSync, constants, openSync, opendirSync, statfsSync, type Dir } from 'node:fs';

/** Linux' O_PATH: holds on to a file without opening it. Node does not export it. */
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;

/** The same file or directory for as long as it is held, whatever its path leads to by then. Links are followed. */
export function hold(path: string | Buffer): number {
  return openSync(path, O_PATH);
}

/** The same, of a link itself. */
export function holdItself(path: string | Buffer): number {
  return openSync(path, O_PATH | O_NOFOLLOW);
}

/** A directory that is no link. */
export function holdDirectory(path: string | Buffer): number {
  return openSync(path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

/** The path of what is held. */
export function held(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** The path of an entry of a directory that is held. */
export function within(fd: number, name: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${held(fd)}/`), Buffer.from(name)]);
}

/** A second descriptor of what is held, opened with other flags. */
export function reopen(fd: number, flags = O_RDONLY): number {
  return openSync(held(fd), flags);
}

/** Its entries, with names as bytes: they need not be UTF-8. */
export function openEntries(fd: number): Dir {
  return opendirSync(held(fd), { encoding: 'buffer' as BufferEncoding, bufferSize: 256 });
}

/** The next name, and whether it is surely a directory; null at the end. */
export function nextEntry(entries: Dir): { name: Buffer; isDirectory: boolean } | null {
  const entry = entries.readSync();
  return entry && { name: entry.name as unknown as Buffer, isDirectory: entry.isDirectory() };
}

export function closing<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** statfs(2) numbers of proc, sysfs, cgroup and cgroup2. */
const KERNEL_FILE_SYSTEMS: ReadonlySet<number> = new Set([0x9fa0, 0x62656572, 0x27e0eb, 0x63677270]);

/**
 * Whether the kernel makes up what is held. The agent must not read it for others: in /proc it meets itself, which the
 * kernel shows to it whatever user it acts for.
 */
export function isOfKernel(fd: number): boolean {
  return KERNEL_FILE_SYSTEMS.has(statfsSync(held(fd)).type);
}
