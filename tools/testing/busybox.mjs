import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { unpackDebianPackages } from '../services/debian-packages.mjs';
import { isMain } from '../workspace.mjs';

/**
 * A statically linked busybox, unpacked from Debian's package below `dir`: a root file system that holds nothing else shows what a
 * sandbox needs from its root. The first call downloads 1 MB.
 *
 * @param {string} dir where it lives between calls
 * @returns {Promise<string>} absolute path
 */
export async function busybox(dir) {
  if (process.env.BUSYBOX_BIN) return process.env.BUSYBOX_BIN;
  const tree = resolve(dir, `busybox-${process.arch}`);
  if (!existsSync(tree)) await unpackDebianPackages(['busybox-static'], tree);
  return join(tree, 'bin/busybox');
}

if (isMain(import.meta.url)) console.log(await busybox(process.argv[2] ?? '.gatehouse/runtime'));
