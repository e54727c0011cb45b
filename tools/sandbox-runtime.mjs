import { accessSync, constants, existsSync, renameSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { hasDebianPackages, libraryFolder, unpackDebianPackages } from './services/debian-packages.mjs';
import { isMain } from './workspace.mjs';

const PACKAGES = ['runc', 'libseccomp2', 'tini'];
const MEND = 'apt-get install runc tini';

/**
 * The container runtime and the pid 1 every sandbox starts with, from PATH where they are installed, else from
 * Debian's packages unpacked (never installed) below `dir`. The first call may download about 10 MB, later ones
 * only look. Safe against a kill in the middle and against a second caller.
 *
 * @param {string} dir where an unpacked copy lives between calls
 * @returns {Promise<{ runtime: string, init: string }>} absolute paths
 * @throws {Error} with the command that mends it, where neither way works
 */
export async function sandboxRuntime(dir) {
  const installed = { runtime: onPath('runc'), init: onPath('tini-static') ?? onPath('tini') };
  if (installed.runtime && installed.init) return installed;

  const unpacked = resolve(dir, `oci-${process.arch}`);
  const tree = join(unpacked, 'root');
  const runtime = join(unpacked, 'runc');
  if (!existsSync(tree)) await unpack(tree);
  if (!existsSync(runtime)) writeRuntimeWrapper(runtime, tree);
  return { runtime: installed.runtime ?? runtime, init: installed.init ?? join(tree, 'usr/bin/tini-static') };
}

function onPath(program) {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return directories.filter(Boolean).map(directory => resolve(directory, program)).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function unpack(tree) {
  if (!hasDebianPackages()) throw new Error(`No container runtime found and no Debian packages to take one from. Install it: ${MEND}`);
  try {
    await unpackDebianPackages(PACKAGES, tree);
  } catch (error) {
    throw new Error(`No container runtime found, and its packages could not be unpacked. Install it: ${MEND}`, { cause: error });
  }
}

/** The unpacked runc finds its libseccomp only when told where it is. Two callers write the same, and each by one rename. */
function writeRuntimeWrapper(path, tree) {
  const next = `${path}.${process.pid}`;
  writeFileSync(next, `#!/bin/sh\nLD_LIBRARY_PATH='${libraryFolder(tree)}' exec '${tree}/usr/sbin/runc' "$@"\n`, { mode: 0o755 });
  renameSync(next, path);
}

if (isMain(import.meta.url)) console.log(JSON.stringify(await sandboxRuntime(process.argv[2] ?? '.gatehouse/runtime')));
