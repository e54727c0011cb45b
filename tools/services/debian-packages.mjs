import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run, works } from '../processes/commands.mjs';

const TRIPLETS = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const TIMEOUT_MS = 180_000;

/** Whether this machine has Debian's packages to take programs from. */
export const hasDebianPackages = () => process.arch in TRIPLETS && ['apt-get', 'dpkg'].every(works);

/** Where the libraries of an unpacked tree are: programs in it need this as LD_LIBRARY_PATH. @param {string} tree */
export const libraryFolder = tree => join(tree, 'usr/lib', TRIPLETS[process.arch] ?? '');

/**
 * Unpacks Debian packages into a folder without installing them. apt keeps its lists, cache and locks in there too, so
 * this needs no root, no earlier `apt-get update`, and does not disturb the machine's own apt. The finished tree appears by one rename:
 * a kill in the middle leaves nothing that looks finished, and the faster of two callers wins.
 *
 * @param {string[]} packages
 * @param {string} target
 */
export async function unpackDebianPackages(packages, target) {
  mkdirSync(dirname(target), { recursive: true });
  const work = mkdtempSync(`${target}-`);
  try {
    for (const part of ['state/lists/partial', 'cache/archives/partial', 'packages', 'root']) mkdirSync(join(work, part), { recursive: true });
    const options = [
      `Dir::State=${work}/state`, `Dir::Cache=${work}/cache`, 'Dir::State::status=/var/lib/dpkg/status',
      'APT::Sandbox::User=root', 'Debug::NoLocking=1', 'Acquire::Retries=2', 'Acquire::http::Timeout=20',
    ];
    const apt = ['apt-get', '-qq', ...options.flatMap(option => ['-o', option])];
    const cwd = join(work, 'packages');
    await run([...apt, 'update'], { cwd, timeoutMs: TIMEOUT_MS });
    await run([...apt, 'download', ...packages], { cwd, timeoutMs: TIMEOUT_MS });
    for (const file of readdirSync(cwd)) await run(['dpkg', '-x', file, join(work, 'root')], { cwd });
    moveInto(join(work, 'root'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function moveInto(tree, target) {
  try {
    renameSync(tree, target);
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  }
}
