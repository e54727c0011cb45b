import { cpSync, existsSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from '../processes/commands.mjs';
import { unpackDebianPackages } from '../services/debian-packages.mjs';
import { isMain } from '../workspace.mjs';

/** What the attacks of the conformance suite are made with, and the libraries of these. */
const PACKAGES = [
  'base-files', 'bash', 'bsdutils', 'coreutils', 'dash', 'findutils', 'grep', 'libc-bin', 'libc6', 'login', 'mount', 'perl-base', 'sed', 'util-linux', 'util-linux-extra',
  'libacl1', 'libattr1', 'libaudit1', 'libblkid1', 'libcap-ng0', 'libcrypt1', 'libgmp10', 'libmount1', 'libpam0g', 'libpcre2-8-0', 'libselinux1', 'libsmartcols1',
  'libsystemd0', 'libtinfo6', 'libudev1', 'libuuid1', 'libgcrypt20', 'libgpg-error0', 'liblz4-1', 'liblzma5', 'libzstd1', 'libcap2', 'libeconf0',
];

/**
 * A tar of a small Debian as a root file system, of packages that were unpacked and not configured.
 *
 * @param {string} dir where it lives between calls
 * @returns {Promise<string>} absolute path
 */
export async function debianRoot(dir) {
  const tar = resolve(dir, `debian-root-${process.arch}.tar`);
  if (existsSync(tar)) return tar;
  const tree = `${tar}.${process.pid}`;
  try {
    await unpackDebianPackages(PACKAGES, tree);
    for (const name of readdirSync(tree).filter(each => /^(bin|sbin|lib.*)$/.test(each))) mergeIntoUsr(tree, name);
    await run(['tar', '--create', '--file', `${tree}.tar`, '--directory', tree, '.']);
    renameSync(`${tree}.tar`, tar);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
  return tar;
}

/** As every installed Debian has it; its packages do not yet. */
function mergeIntoUsr(tree, name) {
  cpSync(join(tree, name), join(tree, 'usr', name), { recursive: true, verbatimSymlinks: true });
  rmSync(join(tree, name), { recursive: true });
  symlinkSync(`usr/${name}`, join(tree, name));
}

if (isMain(import.meta.url)) console.log(await debianRoot(process.argv[2] ?? '.gatehouse/runtime'));
