import { closeSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { asUser } from './as-user.cjs';
import { holdDirectory } from './descriptors.cjs';
import { emptyDirectory } from './empty-directory.cjs';
import { clearingUp, Failure, finding, findingFailure, making, tolerating } from './failure.cjs';
import { entryAt, type FileEntry } from './file-entry.cjs';
import { Gate } from './gate.cjs';
import { inTurns } from './in-turns.cjs';
import { listDirectory } from './list-directory.cjs';
import { absolute, at, isDirectory, leave, makeDirectories, placeOf, temporaryName, type Place } from './place.cjs';

/** A list may grow to megabytes before it is sent. */
const lists = new Gate(4);
const removals = new Gate(4);
/** Less than the service waits, so that it hears why. */
const REMOVAL_MS = 100_000;

export function statFile(path: string): FileEntry {
  return asUser(() => finding(() => entryAt(absolute(path))));
}

/** Of what is below a directory, as JSON; null when it is no longer `wanted`. */
export async function listFiles(path: string, { depth, maxEntries }: { depth: number; maxEntries: number }, wanted: () => boolean): Promise<string | null> {
  try {
    return await lists.pass(() => inTurns(listDirectory(absolute(path), depth, maxEntries), wanted));
  } catch (error) {
    throw findingFailure(error);
  }
}

export function makeDirectory(path: string): { created: boolean } {
  return { created: asUser(() => making(() => makeDirectories(absolute(path)))) };
}

/**
 * A file, a link, or a directory with all that is in it. A directory goes out of sight first: so nobody meets half of it or adds to it by
 * its path, and what cannot be removed at all, a mount point above all, is refused before anything in it is lost. Whoever holds it may
 * add to it for ever: what is left after `withinMs`, the wait for its turn included, comes back.
 */
export async function removeFile(path: string, withinMs = REMOVAL_MS): Promise<void> {
  const deadline = performance.now() + withinMs;
  const place = asUser(() => finding(() => placeOf(absolute(path))));
  try {
    if (asUser(() => finding(() => removeAtOnce(place)))) return;
    await removals.pass(() => removeTree(place, deadline));
  } finally {
    leave(place);
  }
}

function removeAtOnce(place: Place): boolean {
  if (isDirectory(at(place))) return tolerating(['ENOTEMPTY'], () => rmdirSync(at(place)));
  unlinkSync(at(place));
  return true;
}

async function removeTree(place: Place, deadline: number): Promise<void> {
  const hidden: Place = { parent: place.parent, name: temporaryName() };
  // A full disk may have no room for another name, and must not keep anybody from making room.
  const doomed = asUser(() => finding(() => tolerating(['ENOSPC', 'EDQUOT'], () => renameSync(at(place), at(hidden))))) ? hidden : place;
  try {
    const root = asUser(() => holdDirectory(at(doomed)));
    try {
      do await empty(root, deadline);
      while (!asUser(() => tolerating(['ENOTEMPTY'], () => rmdirSync(at(doomed)))));
    } finally {
      closeSync(root);
    }
  } catch (error) {
    // What is left comes back, unless something else took its place.
    clearingUp(() => asUser(() => renameSync(at(doomed), at(place))));
    throw findingFailure(error);
  }
}

/** Even if nobody waits any more: half a directory is of no use to anybody. */
async function empty(root: number, deadline: number): Promise<void> {
  if ((await inTurns(emptyDirectory(root), () => performance.now() < deadline)) === null) throw new Failure('busy', 'it takes too long: there is too much, or others keep adding to it');
}
