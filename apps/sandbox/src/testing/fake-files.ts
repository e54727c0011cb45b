import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { DriverError, type FileProblem } from '../drivers/driver-error.js';
import type { FileEntry, FileList, SandboxFiles, WriteOptions } from '../drivers/sandbox.driver.js';

const HOME = '/home/user';

interface Node {
  /** null for a directory. */
  content: Buffer | null;
  mode: number;
}

/** A file system in memory that knows files and directories, and no links, owners or quotas. */
export class FakeFiles implements SandboxFiles {
  /** Every directory that was asked for. */
  readonly asked: string[] = [];
  private readonly nodes = new Map<string, Node>(['/', '/home', HOME, `${HOME}/workspace`].map(path => [path, { content: null, mode: 0o755 }]));

  /** Every file as text, by path. */
  get texts(): Map<string, string> {
    return new Map([...this.nodes].flatMap(([path, { content }]) => (content ? [[path, content.toString()]] : [])));
  }

  async write(path: string, content: Uint8Array | Readable, { mode = 0o644, maxBytes = Infinity }: WriteOptions = {}): Promise<number> {
    const target = absolute(path);
    if (this.nodes.get(target)?.content === null) throw problem('occupied');
    const bytes = content instanceof Readable ? await buffer(content) : Buffer.from(content);
    if (bytes.length > maxBytes) throw problem('too-large');
    this.makeDirectories(posix.dirname(target));
    this.nodes.set(target, { content: bytes, mode });
    return bytes.length;
  }

  async read(path: string): Promise<{ size: number; content: Readable }> {
    const { content } = this.find(path);
    if (content === null) throw problem('wrong-kind');
    return { size: content.length, content: Readable.from(content.length > 0 ? [content] : []) };
  }

  async stat(path: string): Promise<FileEntry> {
    const { content, mode } = this.find(path);
    const at = absolute(path);
    return { name: posix.basename(at) || '/', path: at, type: content ? 'file' : 'dir', size: content?.length ?? 4096, mode, uid: 1000, gid: 1000, modifiedMs: 0 };
  }

  async list(path: string, { depth, maxEntries }: { depth: number; maxEntries: number }): Promise<FileList> {
    if (this.find(path).content !== null) throw problem('wrong-kind');
    const prefix = below(absolute(path));
    const found = [...this.nodes.keys()].filter(each => each.startsWith(prefix) && each !== prefix && each.slice(prefix.length).split('/').length <= depth).sort();
    return { entries: await Promise.all(found.slice(0, maxEntries).map(each => this.stat(each))), truncated: found.length > maxEntries };
  }

  async mkdir(path: string): Promise<boolean> {
    this.asked.push(path);
    return this.makeDirectories(absolute(path));
  }

  async rename(from: string, to: string): Promise<FileEntry> {
    const [source, target] = [absolute(from), absolute(to)];
    const moved = this.find(source);
    if (target.startsWith(below(source))) throw problem('denied');
    const replaced = this.nodes.get(target);
    if (replaced && (replaced.content === null || moved.content === null)) throw problem('occupied');
    this.makeDirectories(posix.dirname(target));
    for (const [path, node] of [...this.nodes]) {
      if (path !== source && !path.startsWith(below(source))) continue;
      this.nodes.delete(path);
      this.nodes.set(target + path.slice(source.length), node);
    }
    return this.stat(target);
  }

  async remove(path: string): Promise<void> {
    this.find(path);
    const target = absolute(path);
    if (below(HOME).startsWith(below(target))) throw problem('denied');
    for (const each of [...this.nodes.keys()]) if (each === target || each.startsWith(below(target))) this.nodes.delete(each);
  }

  private find(path: string): Node {
    const node = this.nodes.get(absolute(path));
    if (!node) throw problem('not-found');
    return node;
  }

  /** False when it was there. */
  private makeDirectories(path: string): boolean {
    const node = this.nodes.get(path);
    if (node?.content === null) return false;
    if (node) throw problem('occupied');
    this.makeDirectories(posix.dirname(path));
    this.nodes.set(path, { content: null, mode: 0o755 });
    return true;
  }
}

function absolute(path: string): string {
  return posix.resolve(HOME, path);
}

function below(directory: string): string {
  return directory === '/' ? '/' : `${directory}/`;
}

function problem(kind: FileProblem): DriverError {
  return new DriverError(kind, `The fake file system says: ${kind}`);
}
