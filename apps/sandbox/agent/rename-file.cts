import { constants, createReadStream, fstatSync, lstatSync, readlinkSync, renameSync, symlinkSync, unlinkSync, utimesSync, type Stats } from 'node:fs';
import { posix } from 'node:path';
import { asUser } from './as-user.cjs';
import { closing, holdItself, reopen, within } from './descriptors.cjs';
import { Draft } from './draft.cjs';
import { clearingUp, Failure, finding, making, makingFailure } from './failure.cjs';
import { entryAt, type FileEntry } from './file-entry.cjs';
import { absolute, at, isDirectory, leave, makeDirectories, placeOf, temporaryName, type Place } from './place.cjs';

const { O_NONBLOCK, O_RDONLY } = constants;

/** Replaces a file or a link, makes parents. What has to be copied, because it goes to another mount, appears in one step as well. */
export async function renameFile(from: string, to: string): Promise<FileEntry> {
  const source = absolute(from);
  const target = absolute(to);
  if (!asUser(() => rename(source, target))) await moveAcross(source, target);
  return asUser(() => finding(() => entryAt(target)));
}

/** False when the two are on different mounts. */
function rename(source: string, target: string): boolean {
  finding(() => lstatSync(source));
  return making(() => {
    if (isDirectory(target)) throw new Failure('occupied', 'a directory');
    makeDirectories(posix.dirname(target));
    try {
      renameSync(source, target);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw new Failure('not-found', 'it went away');
      if (code !== 'EXDEV') throw error;
      return false;
    }
  });
}

async function moveAcross(source: string, target: string): Promise<void> {
  const from = asUser(() => making(() => removable(source)));
  try {
    const stats = asUser(() => finding(() => lstatSync(at(from))));
    if (stats.isSymbolicLink()) asUser(() => making(() => moveLink(from, placeOf(target))));
    else if (stats.isFile()) await moveContent(from, target);
    else throw new Failure('across-mounts', 'neither a file nor a link');
  } finally {
    leave(from);
  }
}

/** What may be read need not be removable, and that is better known before anything is replaced: it goes away and comes back. */
function removable(path: string): Place {
  const place = placeOf(path);
  try {
    const aside = within(place.parent, temporaryName());
    renameSync(at(place), aside);
    renameSync(aside, at(place));
    return place;
  } catch (error) {
    leave(place);
    throw error;
  }
}

function moveLink(from: Place, to: Place): void {
  try {
    const copy = within(to.parent, temporaryName());
    symlinkSync(readlinkSync(at(from), { encoding: 'buffer' }), copy);
    renameSync(copy, at(to));
    unlinkSync(at(from));
  } finally {
    leave(to);
  }
}

async function moveContent(from: Place, target: string): Promise<void> {
  const { fd, stats } = asUser(() => finding(() => openItself(at(from))));
  const content = createReadStream('', { fd, start: 0 });
  let draft: Draft | undefined;
  try {
    draft = asUser(() => making(() => new Draft(placeOf(target), stats.mode & 0o777)));
    await draft.fill(content);
    const { path } = draft;
    asUser(() => {
      utimesSync(path, stats.atime, stats.mtime);
      draft?.publish();
      if (isSame(lstatSync(at(from)), stats)) unlinkSync(at(from));
    });
  } catch (error) {
    clearingUp(() => asUser(() => draft?.discard()));
    throw makingFailure(error);
  } finally {
    content.destroy();
    draft?.close();
  }
}

/** Numbers of inodes are those of one file system: what was mounted there meanwhile may have the same. */
function isSame(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function openItself(path: Buffer): { fd: number; stats: Stats } {
  return closing(holdItself(path), held => {
    if (!fstatSync(held).isFile()) throw new Failure('across-mounts', 'no regular file');
    const fd = reopen(held, O_RDONLY | O_NONBLOCK);
    return { fd, stats: fstatSync(fd) };
  });
}
