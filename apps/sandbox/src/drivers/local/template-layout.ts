import { lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the bundle mounts something. A root must have them all: the runtime would have to make them in it, and may not. */
export const MOUNT_POINTS = ['proc', 'dev', 'sys/fs/cgroup', 'tmp', 'opt/gatehouse', 'home/user', 'run/gatehouse', 'run/gatehouse-egress', 'etc/ssl'];

/** The user commands run as, and those programs expect beside it. */
const USERS = { user: 1000, nogroup: 65534, nobody: 65534 };
const FILES = {
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
  hostname: 'sandbox\n',
  'resolv.conf': 'nameserver 127.0.0.1\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
};

/** All of it, for a name that changes with it. */
export const LAYOUT = JSON.stringify([MOUNT_POINTS, USERS, FILES]);

/**
 * Makes a directory tree a root for sandboxes: every mount point, and the files of /etc that are ours. Nobody else may be able to
 * write in it meanwhile. No link is followed: it may lead anywhere on the host.
 * @throws when something that is no directory stands where one has to be
 */
export async function furnishRoot(root: string, shell: string): Promise<void> {
  for (const point of MOUNT_POINTS) await makeDirectories(root, point);
  const etc = join(root, 'etc');
  const [passwd, group] = await Promise.all([linesOf(join(etc, 'passwd')), linesOf(join(etc, 'group'))]);
  for (const [name, text] of Object.entries(etcFiles(shell, passwd, group))) {
    const path = join(etc, name);
    await rm(path, { recursive: true, force: true }); // a link, often
    await writeFile(path, text, { mode: 0o644, flag: 'wx' });
  }
}

/** The files of /etc that are ours, by name. Of the users and groups given, those stay whose name and id are not needed. */
export function etcFiles(shell: string, passwd: string[] = [], group: string[] = []): Record<string, string> {
  return {
    ...FILES,
    passwd: entries(passwd, USERS.user, [`root:x:0:0:root:/root:/usr/sbin/nologin`, `user:x:${USERS.user}:${USERS.user}:user:/home/user:${shell}`, `nobody:x:${USERS.nobody}:${USERS.nogroup}:nobody:/nonexistent:/usr/sbin/nologin`]),
    group: entries(group, USERS.user, ['root:x:0:', `user:x:${USERS.user}:`, `nogroup:x:${USERS.nogroup}:`]),
  };
}

/** What keeps a directory tree from being the root of a sandbox; empty when nothing does. */
export async function unfitBecause(root: string): Promise<string[]> {
  const missing: string[] = [];
  for (const point of MOUNT_POINTS) if (!(await isDirectory(root, point))) missing.push(`/${point}`);
  if (missing.length > 0) return [`it has no ${missing.join(', no ')}`];
  const passwd = await linesOf(join(root, 'etc/passwd'));
  return passwd.some(line => line.split(':')[2] === String(USERS.user)) ? [] : [`its /etc/passwd has no user ${USERS.user}`];
}

/** The given lines, and of the old ones those that name other users and other ids. */
function entries(old: string[], ownId: number, given: string[]): string {
  const names = given.map(line => line.split(':')[0]);
  const kept = old.filter(line => !names.includes(line.split(':')[0] ?? '') && line.split(':')[2] !== String(ownId));
  return `${[...given, ...kept].join('\n')}\n`;
}

async function makeDirectories(root: string, path: string): Promise<void> {
  let at = root;
  for (const part of path.split('/')) {
    at = join(at, part);
    const entry = await lstat(at).catch(absent);
    if (!entry) await mkdir(at, { mode: 0o755 });
    else if (!entry.isDirectory()) throw new Error(`/${path} cannot be made: /${at.slice(root.length + 1)} is no directory`);
  }
}

async function isDirectory(root: string, path: string): Promise<boolean> {
  let at = root;
  for (const part of path.split('/')) {
    at = join(at, part);
    if (!(await lstat(at).catch(absent))?.isDirectory()) return false;
  }
  return true;
}

/** Of a regular file; of anything else none. */
async function linesOf(path: string): Promise<string[]> {
  if (!(await lstat(path).catch(absent))?.isFile()) return [];
  return (await readFile(path, 'utf8')).split('\n').filter(line => line.includes(':'));
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}
