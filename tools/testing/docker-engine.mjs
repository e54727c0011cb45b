import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { hasDebianPackages, libraryFolder, unpackDebianPackages } from '../services/debian-packages.mjs';
import { isMain } from '../workspace.mjs';

const PACKAGES = ['docker.io', 'containerd', 'runc', 'tini', 'libseccomp2', 'libdevmapper1.02.1', 'libsystemd0'];

/**
 * A Docker Engine for tests: the one DOCKERD_BIN names, or the one on PATH. `DOCKERD_BIN=debian` unpacks Debian's, without installing
 * it: 70 MB to download, the first time.
 *
 * @param {string} dir where an unpacked one lives between calls
 * @returns {Promise<{ dockerd: string, env: Record<string, string> } | null>} null where there is none
 */
export async function dockerEngine(dir) {
  const { DOCKERD_BIN: named, PATH = '' } = process.env;
  if (named === 'debian') return hasDebianPackages() ? unpacked(resolve(dir, `docker-${process.arch}`)) : null;
  const dockerd = named ?? PATH.split(delimiter).map(directory => join(directory, 'dockerd')).find(isExecutable);
  return dockerd ? { dockerd: resolve(dockerd), env: { PATH: `${dirname(resolve(dockerd))}:${PATH}` } } : null;
}

async function unpacked(tree) {
  if (!existsSync(tree)) await unpackDebianPackages(PACKAGES, tree);
  const [bin, sbin] = ['usr/bin', 'usr/sbin'].map(name => join(tree, name));
  return { dockerd: join(sbin, 'dockerd'), env: { PATH: `${sbin}:${bin}:${process.env.PATH}`, LD_LIBRARY_PATH: libraryFolder(tree) } };
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

if (isMain(import.meta.url)) console.log(JSON.stringify(await dockerEngine(process.argv[2] ?? '.gatehouse/runtime')));
