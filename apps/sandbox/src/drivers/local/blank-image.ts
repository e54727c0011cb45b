import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';

const BLOCK = 4096;
const READ_BYTES = 4 * 1024 * 1024;
const MKFS_TIMEOUT_MS = 30_000;

interface Extent {
  at: number;
  bytes: Buffer;
}

/**
 * An empty ext4 file system of one size, made once and kept in memory as the few hundred KiB that are not zero. A copy
 * is then a sparse file and some writes; copying the image itself would write out its holes.
 */
export class BlankImage {
  private constructor(
    private readonly sizeBytes: number,
    private readonly extents: readonly Extent[],
  ) {}

  static async make(sizeBytes: number, scratchDir: string): Promise<BlankImage> {
    const scratch = await mkdtemp(join(scratchDir, 'blank-'));
    try {
      const path = join(scratch, 'image');
      const file = await open(path, 'wx');
      await file.truncate(sizeBytes).finally(() => file.close());
      // No journal: the disk is as durable as the sandbox, and a host crash is answered with e2fsck.
      await runTool('mkfs.ext4', ['-q', '-F', '-m', '0', '-O', '^has_journal,^resize_inode', '-E', 'lazy_itable_init=1,nodiscard', path], MKFS_TIMEOUT_MS);
      return new BlankImage(sizeBytes, await readExtents(path));
    } finally {
      await rm(scratch, { recursive: true });
    }
  }

  /** @throws EEXIST when there is something at `path` */
  async writeTo(path: string): Promise<void> {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.truncate(this.sizeBytes);
      for (const { at, bytes } of this.extents) await file.write(bytes, 0, bytes.length, at);
    } finally {
      await file.close();
    }
  }
}

async function readExtents(path: string): Promise<Extent[]> {
  const extents: Extent[] = [];
  const zero = Buffer.alloc(BLOCK);
  const buffer = Buffer.alloc(READ_BYTES);
  const file = await open(path, 'r');
  try {
    for (let at = 0; ; ) {
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, at);
      if (bytesRead === 0) return extents;
      for (let offset = 0; offset < bytesRead; offset += BLOCK) {
        const block = buffer.subarray(offset, Math.min(offset + BLOCK, bytesRead));
        if (!block.equals(zero.subarray(0, block.length))) append(extents, at + offset, block);
      }
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

function append(extents: Extent[], at: number, block: Buffer): void {
  const last = extents.at(-1);
  if (last && last.at + last.bytes.length === at) last.bytes = Buffer.concat([last.bytes, block]);
  else extents.push({ at, bytes: Buffer.from(block) });
}
