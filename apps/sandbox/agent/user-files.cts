import { closeSync, constants, createWriteStream, fchmodSync, mkdirSync, openSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { asUser, HOME } from './as-user.cjs';
import { toFailure } from './failure.cjs';

/** With the rights of the command user: links and `..` lead where its own commands could go, and nowhere else. */
export function makeDirectory(path: string): void {
  try {
    asUser(() => makeDirectories(resolve(HOME, path)));
  } catch (error) {
    throw toFailure(error);
  }
}

/** Beside the target first and renamed when complete, so that nobody sees half a file. */
export async function writeFile(path: string, content: Readable, mode: number): Promise<void> {
  const target = resolve(HOME, path);
  const temporary = join(dirname(target), `.gatehouse-${crypto.randomUUID()}`); // one left by a crash must not be met again
  try {
    const fd = asUser(() => create(temporary, mode));
    try {
      await drainInto(fd, content);
      asUser(() => renameSync(temporary, target));
    } catch (error) {
      asUser(() => unlinkSync(temporary));
      throw error;
    }
  } catch (error) {
    throw toFailure(error);
  }
}

/**
 * Closes `fd` whatever happens. After a failure the rest of the content is read and dropped: breaking off a request
 * would break off its answer, and the caller would never learn that the disk is full.
 */
function drainInto(fd: number, content: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    const file = createWriteStream('', { fd });
    content.once('error', error => file.destroy(error));
    file.once('error', error => {
      content.unpipe(file).resume();
      reject(error);
    });
    file.once('close', resolve);
    content.pipe(file);
  });
}

/** Not `recursive`: where a parent is there and refuses children as if it were not, as /proc does, Node never comes back from that. */
function makeDirectories(path: string): void {
  const missing: string[] = [];
  for (let directory = path; statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true; directory = dirname(directory)) missing.push(directory);
  for (const directory of missing.reverse()) {
    try {
      mkdirSync(directory);
    } catch (error) {
      // Somebody else may have made it a moment ago.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(directory).isDirectory()) throw error;
    }
  }
}

function create(path: string, mode: number): number {
  makeDirectories(dirname(path));
  const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode);
  try {
    fchmodSync(fd, mode); // whatever the umask is
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
