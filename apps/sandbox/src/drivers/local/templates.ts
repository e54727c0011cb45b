import { createHash, randomUUID, type Hash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError } from '../driver-error.js';
import { runTool } from './run-tool.js';

/** The root a container starts from. */
export interface Template {
  rootPath: string;
  readonlyRoot: boolean;
  /** Directories of the host seen read-only inside, at the same path. */
  hostBinds: string[];
}

const MOUNT_POINTS = ['proc', 'dev', 'sys/fs/cgroup', 'tmp', 'usr', 'opt/gatehouse', 'home/user', 'run/gatehouse', 'run/gatehouse-egress', 'etc/ssl', 'var/tmp', 'root', 'mnt'];
const LINKS = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'].filter(name => existsSync(`/usr/${name}`));
/** Configuration that programs in /usr look for; nothing in it names the node or its users. Of /etc/ssl never the private keys. */
const HOST_FILES = {
  etc: ['alternatives', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d', 'localtime', 'mime.types', 'services', 'protocols', 'perl', 'bash.bashrc'],
  'etc/ssl': ['certs', 'openssl.cnf'],
};
const FILES = {
  passwd: 'root:x:0:0:root:/root:/usr/sbin/nologin\nuser:x:1000:1000:user:/home/user:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  group: 'root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost sandbox\n::1 localhost\n',
  hostname: 'sandbox\n',
  'resolv.conf': 'nameserver 127.0.0.1\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
};
const COPY_TIMEOUT_MS = 30_000;

/** The templates of this node by name. */
export class Templates {
  private readonly byName = new Map<string, Template>();

  constructor(private readonly directory: string) {}

  /**
   * Makes the `host` template: an empty root with its own /etc, and the host's /usr. It shows the node's software: for
   * development. Named by what it is made of and never changed, because sandboxes that outlive the service stand on it.
   */
  async prepare(): Promise<void> {
    const rootPath = join(this.directory, `host-${digestSources()}`);
    if (!existsSync(rootPath)) {
      const work = join(this.directory, `.${randomUUID()}`);
      await makeSkeleton(work).catch(error => rm(work, { recursive: true, force: true }).then(() => Promise.reject(error)));
      await rename(work, rootPath);
    }
    this.byName.set('host', { rootPath, readonlyRoot: true, hostBinds: ['/usr'] });
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
  for (const name of LINKS) await symlink(`usr/${name}`, join(root, name));
  for (const [name, text] of Object.entries(FILES)) await writeFile(join(root, 'etc', name), text);
  for (const [directory, sources] of hostSources()) {
    if (sources.length > 0) await runTool('cp', ['--archive', ...sources, join(root, directory)], COPY_TIMEOUT_MS);
  }
}

function hostSources(): [directory: string, sources: string[]][] {
  return Object.entries(HOST_FILES).map(([directory, names]) => [directory, names.map(name => `/${directory}/${name}`).filter(path => existsSync(path))]);
}

/** Of names, sizes and times: reading the files themselves would cost more than copying them. */
function digestSources(): string {
  const hash = createHash('sha256').update(JSON.stringify([MOUNT_POINTS, LINKS, FILES]));
  for (const [, sources] of hostSources()) for (const source of sources) digest(source, hash);
  return hash.digest('hex').slice(0, 16);
}

function digest(path: string, hash: Hash): void {
  const stat = lstatSync(path);
  hash.update(`${path}\0${stat.mode}\0${stat.size}\0${stat.mtimeMs}\0`);
  if (stat.isDirectory()) for (const name of readdirSync(path).sort()) digest(join(path, name), hash);
}
