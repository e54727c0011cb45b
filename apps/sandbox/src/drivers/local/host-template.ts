import { createHash, randomUUID, type Hash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { chmod, mkdir, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';
import { furnishRoot, LAYOUT } from './template-layout.js';

const DIRECTORIES = ['tmp', 'usr', 'var/tmp', 'root', 'mnt', 'etc/ssl'];
const LINKS = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'].filter(name => existsSync(`/usr/${name}`));
/** Configuration that programs in /usr look for; nothing in it names the node or its users. Of /etc/ssl never the private keys. */
const HOST_FILES = {
  etc: ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'localtime', 'mime.types', 'services', 'protocols', 'perl', 'bash.bashrc'],
  'etc/ssl': ['certs', 'openssl.cnf'],
};
const COPY_TIMEOUT_MS = 30_000;

/**
 * An almost empty root with an /etc of its own, for the host's /usr to be bound into. Named by what it is made of and never changed,
 * because sandboxes that outlive the service stand on it.
 * @returns its path
 */
export async function makeHostRoot(directory: string): Promise<string> {
  const root = join(directory, `host-${digestSources()}`);
  if (!existsSync(root)) {
    const work = join(directory, `.${randomUUID()}`);
    await makeSkeleton(work).catch(error => rm(work, { recursive: true, force: true }).then(() => Promise.reject(error)));
    await rename(work, root);
  }
  return root;
}

async function makeSkeleton(root: string): Promise<void> {
  for (const directory of DIRECTORIES) await mkdir(join(root, directory), { recursive: true, mode: 0o755 });
  for (const directory of ['tmp', 'var/tmp']) await chmod(join(root, directory), 0o1777); // the runtime gives a tmpfs the mode of its mount point
  for (const name of LINKS) await symlink(`usr/${name}`, join(root, name));
  for (const [directory, sources] of hostSources()) {
    if (sources.length > 0) await runTool('cp', ['--archive', ...sources, join(root, directory)], COPY_TIMEOUT_MS);
  }
  await furnishRoot(root, '/bin/bash');
}

function hostSources(): [directory: string, sources: string[]][] {
  return Object.entries(HOST_FILES).map(([directory, names]) => [directory, names.map(name => `/${directory}/${name}`).filter(path => existsSync(path))]);
}

/** Of names, sizes and times: reading the files themselves would cost more than copying them. */
function digestSources(): string {
  const hash = createHash('sha256').update(JSON.stringify([DIRECTORIES, LINKS, LAYOUT]));
  for (const [, sources] of hostSources()) for (const source of sources) digest(source, hash);
  return hash.digest('hex').slice(0, 16);
}

function digest(path: string, hash: Hash): void {
  const stat = lstatSync(path);
  hash.update(`${path}\0${stat.mode}\0${stat.size}\0${stat.mtimeMs}\0`);
  if (stat.isDirectory()) for (const name of readdirSync(path).sort()) digest(join(path, name), hash);
}
