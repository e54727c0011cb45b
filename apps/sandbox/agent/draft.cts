import { constants, createWriteStream, fchmodSync, openSync, renameSync, unlinkSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { within } from './descriptors.cjs';
import { Failure } from './failure.cjs';
import { at, isDirectory, leave, temporaryName, type Place } from './place.cjs';

/** A file in the making, beside the place where it will appear in one step. Everything but `fill` as the command user. */
export class Draft {
  readonly path: Buffer;
  private readonly fd: number;

  /** Has the place from then on, and lets go of it when it fails. */
  constructor(
    private readonly place: Place,
    mode: number,
  ) {
    this.path = within(place.parent, temporaryName());
    try {
      if (isDirectory(at(place))) throw new Failure('occupied', 'a directory');
      this.fd = openSync(this.path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode);
      fchmodSync(this.fd, mode); // whatever the umask is
    } catch (error) {
      leave(place);
      throw error;
    }
  }

  /**
   * Once; resolves with the number of bytes. After a failure the rest of the content is read and dropped: breaking off a request would
   * break off its answer, and the caller would never learn that the disk is full.
   */
  fill(content: Readable, maxBytes = Infinity): Promise<number> {
    return new Promise((resolve, reject) => {
      let bytes = 0;
      const file = createWriteStream('', { fd: this.fd }); // closes it, whatever happens
      content.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > maxBytes) file.destroy(new Failure('too-large', 'more than was allowed'));
      });
      content.once('error', error => file.destroy(error));
      file.once('error', error => {
        content.unpipe(file).resume();
        reject(error);
      });
      file.once('close', () => resolve(bytes));
      content.pipe(file);
    });
  }

  /** It appears, and replaces what was there. */
  publish(): void {
    renameSync(this.path, at(this.place));
  }

  /** Instead. Throws when others were faster: for `clearingUp`. */
  discard(): void {
    unlinkSync(this.path);
  }

  close(): void {
    leave(this.place);
  }
}
