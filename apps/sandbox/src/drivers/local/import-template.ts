import { randomUUID } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';
import { furnishRoot } from './template-layout.js';
import { HOST_TEMPLATE, TEMPLATE_NAME } from './templates.js';

const UNPACK_TIMEOUT_MS = 15 * 60_000;
/** Set-user-id, set-group-id. */
const SPECIAL_BITS = 0o6000;
const OTHERS_WRITE = 0o022;
/** A shell to run commands with, and what the agent makes its pipes with. */
const NEEDED = { shell: ['bin/sh', 'usr/bin/sh', 'bin/bash'], mkfifo: ['bin/mkfifo', 'usr/bin/mkfifo'] };

/**
 * Makes a tar of a root file system a template. It appears whole or not at all; one that is there is never changed, because
 * sandboxes stand on it. Everything in it becomes root's, and nothing in it can serve a user of the host: no devices, no set-user-id.
 * @throws with one sentence on what is wrong with the name or the tar
 */
export async function importTemplate(directory: string, name: string, tar: string): Promise<string> {
  if (!TEMPLATE_NAME.test(name) || name === HOST_TEMPLATE) throw new Error(`"${name}" cannot name a template: lower case letters, digits, ".", "_" and "-", and not "host"`);
  const root = join(directory, name);
  if (await exists(root)) throw new Error(`There is a template "${name}" already, and sandboxes may stand on it: take another name`);
  if (!(await exists(tar))) throw new Error(`There is no file ${tar}`);

  await mkdir(directory, { recursive: true, mode: 0o711 });
  const closed = join(directory, `.${randomUUID()}`); // nobody but root may look in while devices may lie there
  const work = join(closed, 'root');
  await mkdir(work, { recursive: true });
  await chmod(closed, 0o700);
  try {
    // GNU tar leaves out a leading `/`, refuses `..`, and makes links that lead out only when everything else is in place.
    await runTool('tar', ['--extract', '--file', tar, '--directory', work, '--no-same-owner', '--same-permissions', '--delay-directory-restore', '--anchored', '--exclude=./dev/*', '--exclude=dev/*'], UNPACK_TIMEOUT_MS);
    await chmod(work, 0o755);
    await checkContent(work);
    await disarm(work);
    await furnishRoot(work, (await exists(join(work, 'bin/bash'))) ? '/bin/bash' : '/bin/sh');
    await chmod(join(work, 'tmp'), 0o1777); // a runtime gives a tmpfs the mode of its mount point
    await rename(work, root);
  } finally {
    await rm(closed, { recursive: true, force: true });
  }
  return root;
}

async function checkContent(root: string): Promise<void> {
  const names = await readdir(root);
  if (names.includes('manifest.json') && names.some(name => name === 'blobs' || name === 'repositories' || name.endsWith('.json'))) {
    throw new Error('This is an image in layers (docker save), not a root file system: docker export of a container makes one');
  }
  for (const [what, paths] of Object.entries(NEEDED)) {
    const found = await Promise.all(paths.map(path => exists(join(root, path))));
    if (!found.includes(true)) throw new Error(`This is not a root file system a sandbox can run in: it has no ${what} (looked for /${paths.join(', /')})`);
  }
}

/** Without following a link. Owned by root throughout, which in a sandbox is nobody: what the world may not read, no sandbox can. */
async function disarm(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isSymbolicLink()) continue;
    if (!entry.isFile() && !entry.isDirectory()) {
      await unlink(path);
      continue;
    }
    const { mode } = await lstat(path);
    if ((mode & (SPECIAL_BITS | OTHERS_WRITE)) !== 0) await chmod(path, mode & 0o7777 & ~(SPECIAL_BITS | OTHERS_WRITE));
    if (entry.isDirectory()) await disarm(path);
  }
}

function exists(path: string): Promise<boolean> {
  return lstat(path).then(() => true, () => false);
}
