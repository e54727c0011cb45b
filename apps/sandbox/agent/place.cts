import { closeSync, lstatSync, mkdirSync, readlinkSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { HOME } from './as-user.cjs';
import { hold, within } from './descriptors.cjs';
import { Failure } from './failure.cjs';

const LINKS_MAX = 40;

/** A name in a directory that is held: whatever the path leads to by then, what is done to it is done there. To be let go of. */
export interface Place {
  readonly parent: number;
  readonly name: string | Buffer;
}

/** Relative paths start at home; `.` and `..` are resolved by their text. */
export function absolute(path: string): string {
  return posix.resolve(HOME, path);
}

/** One that a crash left behind must not be met again. */
export function temporaryName(): string {
  return `.gatehouse-${crypto.randomUUID()}`;
}

/** As the command user, like all that follows. */
export function placeOf(path: string): Place {
  if (path === '/') throw new Failure('denied', 'the root is nobody’s to change');
  return { parent: hold(posix.dirname(path)), name: posix.basename(path) };
}

export function leave({ parent }: Place): void {
  closeSync(parent);
}

export function at({ parent, name }: Place): Buffer {
  return within(parent, name);
}

/** Where a write to the place ends up: links are followed, as the kernel would. */
export function followed(place: Place): Place {
  for (let links = 0; links < LINKS_MAX; links++) {
    const target = linkAt(place);
    if (target === undefined) return place;
    const nameFrom = target.lastIndexOf('/') + 1;
    const directory = nameFrom === 0 ? Buffer.from('.') : target.subarray(0, nameFrom);
    const { parent } = place;
    try {
      place = { parent: hold(target[0] === SLASH ? directory : within(parent, directory)), name: target.subarray(nameFrom) };
    } finally {
      closeSync(parent);
    }
  }
  leave(place);
  throw new Failure('denied', 'too many links');
}

const SLASH = 0x2f;

function linkAt(place: Place): Buffer | undefined {
  try {
    return readlinkSync(at(place), { encoding: 'buffer' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EINVAL' || code === 'ENOENT') return undefined; // no link, or nothing at all
    leave(place);
    throw error;
  }
}

/** Itself, not what a link leads to. */
export function isDirectory(path: string | Buffer): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Like `mkdir -p`; false when nothing had to be made. Not `recursive`: where a parent is there and refuses children as if it were not, as
 * /proc does, Node never comes back from that.
 */
export function makeDirectories(path: string): boolean {
  const missing: string[] = [];
  for (let directory = path; statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true; directory = posix.dirname(directory)) missing.push(directory);
  let made = false;
  for (const directory of missing.reverse()) {
    made = true;
    try {
      mkdirSync(directory);
    } catch (error) {
      // Somebody else may have made it a moment ago.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
      made = false;
    }
  }
  return made;
}
