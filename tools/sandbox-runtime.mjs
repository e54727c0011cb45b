import { execFileSync } from 'node:child_process';
import { accessSync, chmodSync, constants, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const PACKAGES = ['runc', 'libseccomp2', 'tini'];
const TRIPLETS = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const MEND = 'apt-get install runc tini';

/**
 * The container runtime and the pid 1 every sandbox starts with, from PATH where they are installed, else from
 * Debian's packages unpacked (never installed) below `dir`. The first call may download about 10 MB, later ones
 * only look. Safe against a kill in the middle and against a second caller: the unpacked tree appears by one rename.
 *
 * @param {string} dir where an unpacked copy lives between calls
 * @returns {Promise<{ runtime: string, init: string }>} absolute paths
 * @throws {Error} with the command that mends it, where neither way works
 */
export async function sandboxRuntime(dir) {
  const installed = { runtime: onPath('runc'), init: onPath('tini-static') ?? onPath('tini') };
  if (installed.runtime && installed.init) return installed;

  const unpacked = resolve(dir, `oci-${process.arch}`);
  if (!existsSync(unpacked)) unpack(unpacked);
  return {
    runtime: installed.runtime ?? join(unpacked, 'runc'),
    init: installed.init ?? join(unpacked, 'root/usr/bin/tini-static'),
  };
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

function unpack(target) {
  const triplet = TRIPLETS[process.arch];
  if (process.platform !== 'linux' || !triplet || !onPath('apt-get') || !onPath('dpkg')) {
    throw new Error(`No container runtime found and no Debian packages to take one from. Install it: ${MEND}`);
  }
  mkdirSync(resolve(target, '..'), { recursive: true });
  const work = mkdtempSync(`${target}-`);
  try {
    download(work);
    writeRuntimeWrapper(join(work, 'runc'), target, triplet);
    rename(work, target);
  } catch (error) {
    throw new Error(`No container runtime found, and its packages could not be unpacked. Install it: ${MEND}`, { cause: error });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** apt keeps lists, cache and locks below `work`, so an ordinary user may run it and the machine's own apt is not touched. */
function download(work) {
  for (const part of ['state/lists/partial', 'cache/archives/partial', 'packages']) mkdirSync(join(work, part), { recursive: true });
  const apt = ['-qq', '-o', `Dir::State=${work}/state`, '-o', `Dir::Cache=${work}/cache`, '-o', 'Dir::State::status=/var/lib/dpkg/status', '-o', 'APT::Sandbox::User=root', '-o', 'Debug::NoLocking=1'];
  const packages = join(work, 'packages');
  const run = (program, args) => execFileSync(program, args, { cwd: packages, stdio: ['ignore', 'ignore', 'inherit'], timeout: 180_000 });
  run('apt-get', [...apt, 'update']);
  run('apt-get', [...apt, 'download', ...PACKAGES]);
  for (const file of readdirSync(packages)) run('dpkg', ['-x', file, join(work, 'root')]);
  for (const part of ['state', 'cache', 'packages']) rmSync(join(work, part), { recursive: true });
}

/** The unpacked runc finds its libseccomp only when told where it is. `target` is where the tree will be after the rename. */
function writeRuntimeWrapper(path, target, triplet) {
  const root = join(target, 'root');
  writeFileSync(path, `#!/bin/sh\nLD_LIBRARY_PATH='${root}/usr/lib/${triplet}' exec '${root}/usr/sbin/runc' "$@"\n`);
  chmodSync(path, 0o755);
}

/** Renaming onto a filled directory fails, which is how the second of two callers learns that the first was faster. */
function rename(work, target) {
  try {
    renameSync(work, target);
  } catch (error) {
    if (!existsSync(join(target, 'runc'))) throw error;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  console.log(JSON.stringify(await sandboxRuntime(process.argv[2] ?? '.gatehouse/runtime')));
}
