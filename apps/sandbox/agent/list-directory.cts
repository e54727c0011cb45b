import { closeSync, fstatSync } from 'node:fs';
import { closing, hold, holdDirectory, held, isOfKernel, nextEntry, openEntries, within } from './descriptors.cjs';
import { Failure } from './failure.cjs';
import { entryAt, type FileEntry } from './file-entry.cjs';

/** The service takes some more than that. */
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
/** A directory that went away, was swapped, or is closed to the command user stays without its entries. */
const PASSED_OVER: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES']);

/** Names from the listed directory down. */
type Trail = readonly Buffer[];

/**
 * The JSON of what is below a directory, taken level by level, at most `maxEntries` entries, sorted by path in code point order. Links
 * are listed and not entered, nor is what the kernel makes up. A step per entry, as the command user.
 */
export function* listDirectory(path: string, depth: number, maxEntries: number): Generator<undefined, string> {
  const root = holdListable(path);
  try {
    const answer = new Answer(maxEntries);
    const directories: Trail[] = [[]];
    for (const trail of directories) {
      for (const { name, entry } of entriesBelow(root, trail)) {
        const found = [...trail, name];
        if (!answer.take(found, entry)) return answer.text();
        if (entry.type === 'dir' && found.length < depth) directories.push(found); // its turn comes in this very loop
        yield;
      }
    }
    return answer.text();
  } finally {
    closeSync(root);
  }
}

class Answer {
  private readonly lines: { path: Buffer; json: string }[] = [];
  private bytes = 0;
  private truncated = false;

  constructor(private readonly maxEntries: number) {}

  /** False when there is no room for it, nor for any other. */
  take(trail: Trail, entry: FileEntry): boolean {
    const path = trail.join('/'); // what is not UTF-8 becomes U+FFFD
    const json = JSON.stringify({ path, ...entry });
    this.bytes += Buffer.byteLength(json) + 1;
    this.truncated = this.lines.length === this.maxEntries || this.bytes > ANSWER_BYTES_MAX;
    if (!this.truncated) this.lines.push({ path: Buffer.from(path), json }); // UTF-8 sorts as code points do
    return !this.truncated;
  }

  text(): string {
    const entries = this.lines.sort((a, b) => a.path.compare(b.path)).map(({ json }) => json);
    return `{"truncated":${this.truncated},"entries":[${entries.join()}]}`;
  }
}

function holdListable(path: string): number {
  const fd = hold(path);
  try {
    if (!fstatSync(fd).isDirectory()) throw new Failure('not-a-directory', 'not a directory');
    if (isOfKernel(fd)) throw new Failure('of-kernel', 'a directory of the kernel');
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function* entriesBelow(root: number, trail: Trail): Generator<{ name: Buffer; entry: FileEntry }> {
  try {
    const directory = holdBelow(root, trail);
    try {
      if (!isOfKernel(directory)) yield* entriesOf(directory);
    } finally {
      closeSync(directory);
    }
  } catch (error) {
    if (trail.length === 0 || !PASSED_OVER.has((error as NodeJS.ErrnoException).code)) throw error;
  }
}

function* entriesOf(directory: number): Generator<{ name: Buffer; entry: FileEntry }> {
  const entries = openEntries(directory);
  try {
    for (let next = nextEntry(entries); next; next = nextEntry(entries)) {
      const entry = entryUnlessGone(within(directory, next.name));
      if (entry) yield { name: next.name, entry };
    }
  } finally {
    entries.closeSync();
  }
}

/** Name by name: no link is followed, and the whole way may be longer than a path can be. */
function holdBelow(root: number, trail: Trail): number {
  let directory = hold(held(root));
  for (const name of trail) directory = closing(directory, parent => holdDirectory(within(parent, name)));
  return directory;
}

function entryUnlessGone(path: Buffer): FileEntry | undefined {
  try {
    return entryAt(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
