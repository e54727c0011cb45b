import { chmod, chown, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { SLOT, type BoxMeta, type BoxPaths, type Layout } from './layout.js';

/** The directories of a box. The agent's belongs to the sandbox's root, who may make a socket in it; nobody else may look. */
export async function makeBoxDirectories(paths: BoxPaths, uidBase: number): Promise<void> {
  await mkdir(paths.root, { mode: 0o711 });
  for (const directory of [paths.bundle, paths.agent, paths.egress, paths.disk]) await mkdir(directory);
  for (const directory of [paths.agent, paths.egress]) await chmod(directory, 0o711);
  await chown(paths.agent, uidBase, uidBase);
}

/** Whole or not at all, whenever the service is killed. */
export async function saveMeta(paths: BoxPaths, meta: BoxMeta): Promise<void> {
  await writeFile(`${paths.meta}.tmp`, JSON.stringify(meta));
  await rename(`${paths.meta}.tmp`, paths.meta);
}

/** null when the start was killed before it wrote any, or the directory is gone. */
export async function loadMeta(paths: BoxPaths): Promise<BoxMeta | null> {
  const text = await readFile(paths.meta, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as BoxMeta);
}

export async function listSlots(layout: Layout): Promise<string[]> {
  return (await readdir(layout.boxes)).filter(name => SLOT.test(name));
}

/**
 * The mount point of the disk goes first and only if it is empty: were the disk ever mounted in our own namespace, a
 * recursive removal would empty it.
 */
export async function removeBoxDirectory(paths: BoxPaths): Promise<void> {
  await rmdir(paths.disk).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rm(paths.root, { recursive: true, force: true });
}
