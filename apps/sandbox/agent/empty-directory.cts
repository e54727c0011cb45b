import { closeSync, fstatSync, rmdirSync, unlinkSync } from 'node:fs';
import { held, hold, holdDirectory, nextEntry, openEntries, within } from './descriptors.cjs';
import { Failure, tolerating } from './failure.cjs';

/** Names of directories that wait for their turn, on all levels together. */
const WAITING_MAX = 10_000;
/** How often others may fill what was empty a moment ago, or move away what is being emptied. */
const DISTURBANCES_MAX = 1_000;

/** A directory on the way down, known by what it is: what it is called may change. */
interface Level {
  readonly device: number;
  readonly inode: number;
  /** What it was called where it was found. */
  readonly name: Buffer;
  /** Directories in it that are not empty. */
  readonly waiting: Buffer[];
}

/**
 * Empties a directory, however deep and whoever adds to it meanwhile. Follows no link: it goes down name by name and up by `..`, and looks
 * where that led. A step per entry, as the command user; a few descriptors are open for it at any depth. Without end while others add to it
 * as fast: to be given up some time.
 */
export function* emptyDirectory(root: number): Generator<undefined, void> {
  const walk = new Walk(root);
  try {
    for (;;) {
      const next = walk.level.waiting.pop();
      if (next) walk.descend(next);
      else if (!(yield* walk.sweep()) && !walk.ascend()) return;
      yield;
    }
  } finally {
    walk.close();
  }
}

class Walk {
  level: Level;
  private current: number;
  private above: Level[] = [];
  private disturbances = 0;

  constructor(private readonly root: number) {
    this.current = hold(held(root));
    this.level = levelOf(this.current);
  }

  /** Removes whatever goes by itself; the rest has to wait. False when nothing was there. */
  *sweep(): Generator<undefined, boolean> {
    const room = Math.max(1, WAITING_MAX - this.above.reduce((sum, { waiting }) => sum + waiting.length, 0));
    const entries = openEntries(this.current);
    let found = false;
    try {
      for (let next = nextEntry(entries); next && this.level.waiting.length < room; next = nextEntry(entries)) {
        found = true;
        this.removeOrKeep(next.name, next.isDirectory);
        yield;
      }
      return found;
    } finally {
      entries.closeSync();
    }
  }

  descend(name: Buffer): void {
    let child = 0;
    // It may have gone, or become a file or a link: the next sweep meets what is there instead.
    if (!tolerating(['ENOENT', 'ENOTDIR', 'ELOOP'], () => (child = holdDirectory(within(this.current, name))))) return this.disturbed();
    this.above.push(this.level);
    this.goTo(child, levelOf(child, name));
  }

  /** To the directory above, from which the one that is empty now is removed. False at the root. */
  ascend(): boolean {
    const expected = this.above.pop();
    if (!expected) return false;
    const parent = holdDirectory(within(this.current, '..'));
    const { device, inode } = levelOf(parent);
    if (device !== expected.device || inode !== expected.inode) {
      // Somebody moved us out. All the way is tried again.
      closeSync(parent);
      this.above = [];
      const root = hold(held(this.root));
      this.goTo(root, levelOf(root));
      this.disturbed();
      return true;
    }
    const { name } = this.level;
    this.goTo(parent, expected);
    if (!tolerating(['ENOENT', 'ENOTDIR', 'ENOTEMPTY'], () => rmdirSync(within(parent, name)))) this.disturbed();
    return true;
  }

  close(): void {
    closeSync(this.current);
  }

  private removeOrKeep(name: Buffer, isDirectory: boolean): void {
    const path = within(this.current, name);
    // Whoever replaces one by the other meanwhile is met again by the next sweep.
    if (!isDirectory) tolerating(['ENOENT', 'EISDIR'], () => unlinkSync(path));
    else if (!tolerating(['ENOENT', 'ENOTDIR', 'ENOTEMPTY'], () => rmdirSync(path))) this.level.waiting.push(name);
  }

  private goTo(directory: number, level: Level): void {
    closeSync(this.current);
    this.current = directory;
    this.level = level;
  }

  private disturbed(): void {
    if (++this.disturbances > DISTURBANCES_MAX) throw new Failure('busy', 'others keep adding to the directory');
  }
}

function levelOf(directory: number, name: Buffer = Buffer.alloc(0)): Level {
  const { dev, ino } = fstatSync(directory);
  return { device: dev, inode: ino, name, waiting: [] };
}
