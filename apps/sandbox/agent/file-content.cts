import { closeSync, constants, createReadStream, fstatSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { asUser } from './as-user.cjs';
import { closing, hold, isOfKernel, reopen } from './descriptors.cjs';
import { Draft } from './draft.cjs';
import { clearingUp, Failure, finding, making, makingFailure } from './failure.cjs';
import { absolute, followed, isDirectory, makeDirectories, placeOf, type Place } from './place.cjs';

const { O_NOCTTY, O_NONBLOCK, O_RDONLY } = constants;
const READ_BYTES = 256 * 1024;

/** Answers with the content of a regular file, exactly as long as it was at the opening. The connection breaks when the file gets shorter. */
export async function sendFile(path: string, response: ServerResponse): Promise<void> {
  const { fd, size } = asUser(() => finding(() => openRegular(absolute(path))));
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size });
  if (size === 0) {
    closeSync(fd);
    response.end();
    return;
  }
  const file = createReadStream('', { fd, start: 0, end: size - 1, highWaterMark: READ_BYTES });
  try {
    await pipeline(file, response, { end: false });
    if (file.bytesRead === size) response.end();
    else response.destroy();
  } catch (_broken) {
    response.destroy(); // the reader is gone, or is told by this that the file is
  }
}

/** Beside its place first and moved there when complete, so that nobody sees half a file. */
export async function writeFile(path: string, content: Readable, { mode, maxBytes }: { mode: number; maxBytes: number }, isComplete: () => boolean): Promise<{ bytes: number }> {
  const draft = asUser(() => making(() => new Draft(placeToWrite(absolute(path)), mode)));
  try {
    const bytes = await draft.fill(content, maxBytes);
    if (!isComplete()) throw new Failure('incomplete', 'the content broke off');
    asUser(() => draft.publish());
    return { bytes };
  } catch (error) {
    clearingUp(() => asUser(() => draft.discard()));
    throw makingFailure(error);
  } finally {
    draft.close();
  }
}

function placeToWrite(path: string): Place {
  if (isDirectory(path)) throw new Failure('occupied', 'a directory');
  makeDirectories(posix.dirname(path));
  return followed(placeOf(path));
}

/** Nothing but a regular file is ever opened: opening a pipe, a terminal or a device would be an act of its own. */
function openRegular(path: string): { fd: number; size: number } {
  return closing(hold(path), held => {
    const stats = fstatSync(held);
    if (!stats.isFile()) throw new Failure('not-a-file', 'no regular file');
    if (isOfKernel(held)) throw new Failure('of-kernel', 'a file of the kernel');
    if (!Number.isSafeInteger(stats.size)) throw new Failure('too-large', 'a hole without end');
    const fd = reopen(held, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    return { fd, size: fstatSync(fd).size };
  });
}
