import { createHash, randomUUID, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, cp, lstat, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError } from '../driver-error.js';

const { S_IFMT, S_IFDIR, S_IFLNK } = constants;

/** The root a container starts from. */
export interface Template {
  rootPath: string;
  readonlyRoot: boolean;
  /** Directories of the host seen read-only inside, at the same path. */
  hostBinds: string[];
}

const MOUNT_POINTS = ['proc', 'dev', 'sys/fs/cgroup', 'tmp', 'usr', 'opt/gatehouse', 'home/user', 'run/gatehouse', 'run/gatehouse-egress', 'etc/ssl', 'var/tmp', 'root', 'mnt'];
const LINKS = { bin: 'usr/bin', sbin: 'usr/sbin', lib: 'usr/lib', lib32: 'usr/lib32', lib64: 'usr/lib64', libx32: 'usr/libx32' };
/** Configuration programs in /usr look for; nothing in it names the node or its users. */
const HOST_FILES = ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'localtime', 'mime.types', 'services', 'protocols', 'ssl/certs', 'ssl/openssl.cnf', 'perl', 'bash.bashrc'];
const FILES = {
  passwd: 'root:x:0:0:root:/root:/usr/sbin/nologin\nuser:x:1000:1000:user:/home/user:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  group: 'root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
  hostname: 'sandbox\n',
  'resolv.conf': 'nameserver 127.0.0.1\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
};

/** The templates of this node by name. */
export class Templates {
  private readonly byName = new Map<string, Template>();

  constructor(private readonly directory: string) {}

  /**
   * Makes the `host` template: an empty root with its own /etc, and the host's /usr. It shows the node's software: for
   * development. Named by its content and never changed, because sandboxes that outlive the service still stand on it.
   */
  async prepare(): Promise<void> {
    const work = join(this.directory, `.${randomUUID()}`);
    try {
      await makeSkeleton(work);
      const hash = createHash('sha256');
      await digestTree(work, hash);
      const rootPath = join(this.directory, `host-${hash.digest('hex').slice(0, 16)}`);
      if (!(await exists(rootPath))) await rename(work, rootPath);
      this.byName.set('host', { rootPath, readonlyRoot: true, hostBinds: ['/usr'] });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }

  /** @throws {DriverError} `failed` for an unknown name */
  find(name: string): Template {
    const template = this.byName.get(name);
    if (!template) throw new DriverError('failed', `This node has no template "${name.slice(0, 64)}"`);
    return template;
  }
}

async function makeSkeleton(root: string): Promise<void> {
  for (const directory of MOUNT_POINTS) await mkdir(join(root, directory), { recursive: true, mode: 0o755 });
  for (const directory of ['tmp', 'var/tmp']) await chmod(join(root, directory), 0o1777); // the runtime gives a tmpfs the mode of its mount point
  for (const [name, target] of Object.entries(LINKS)) if (await exists(`/${target}`)) await symlink(target, join(root, name));
  for (const [name, text] of Object.entries(FILES)) await writeFile(join(root, 'etc', name), text);
  for (const name of HOST_FILES) {
    if (await exists(`/etc/${name}`)) await cp(`/etc/${name}`, join(root, 'etc', name), { recursive: true, verbatimSymlinks: true });
  }
}

async function digestTree(directory: string, hash: Hash): Promise<void> {
  for (const name of (await readdir(directory)).sort()) {
    const path = join(directory, name);
    const { mode } = await lstat(path);
    hash.update(`${name}\0${mode}\0`);
    if ((mode & S_IFMT) === S_IFDIR) await digestTree(path, hash);
    else hash.update((mode & S_IFMT) === S_IFLNK ? await readlink(path) : await readFile(path));
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}
