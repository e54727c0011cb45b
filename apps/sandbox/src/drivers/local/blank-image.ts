import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';

const TOOL_TIMEOUT_MS = 30_000;

/**
 * Empty ext4 file systems, one per size, made once and kept; a disk begins as a sparse copy of a few hundred KiB. Nothing
 * removes one, so callers ask for few different sizes.
 */
export class BlankImages {
  private readonly making = new Map<number, Promise<string>>();

  constructor(private readonly directory: string) {}

  /** An empty file system of that size appears at `path`, whole or not at all. */
  async copyTo(path: string, sizeBytes: number): Promise<void> {
    const temporary = `${path}.tmp`;
    await rm(temporary, { force: true });
    await runTool('cp', ['--sparse=always', '--reflink=auto', await this.blank(sizeBytes), temporary], TOOL_TIMEOUT_MS);
    await rename(temporary, path);
  }

  private blank(sizeBytes: number): Promise<string> {
    let blank = this.making.get(sizeBytes);
    if (!blank) {
      blank = make(join(this.directory, `blank-${sizeBytes}`), sizeBytes).finally(() => this.making.delete(sizeBytes));
      this.making.set(sizeBytes, blank);
    }
    return blank;
  }
}

async function make(path: string, sizeBytes: number): Promise<string> {
  if (await stat(path).then(() => true, () => false)) return path;
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  await file.truncate(sizeBytes).finally(() => file.close());
  // No journal: the disk is as durable as the sandbox, and a crash of the host is answered with e2fsck.
  await runTool('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal,^resize_inode', '-E', 'lazy_itable_init=1,nodiscard', temporary], TOOL_TIMEOUT_MS);
  await rename(temporary, path);
  return path;
}
