import {
  BLOB_BYTES_MAX,
  type Caller,
  type FileContent,
  type FileEntry,
  type FileList,
  type FileRef,
  filesOf,
  filesRpc,
  GatehouseError,
  LIST_DEPTH_DEFAULT,
  LIST_ENTRIES_MAX,
  type ListFiles,
  type MakeDirectory,
  type ReceiveUpload,
  type RenameFile,
  type RpcCall,
  type RpcHandlers,
  type SandboxRef,
  type SendDownload,
  UPLOADS,
  type WriteFiles,
  type WrittenFile,
} from '@gatehouse/contracts';
import { ByteStreams, RpcService } from '@gatehouse/rpc';
import { DriverError } from '../drivers/driver-error.js';
import type { SandboxFiles } from '../drivers/sandbox.driver.js';
import { driven } from '../sandboxes/driver-failure.js';
import { HeldSandboxes } from '../sandboxes/held-sandboxes.js';
import { HOME, sandboxPath } from '../sandboxes/sandbox-path.js';
import { textOf } from '../sandboxes/text-of.js';
import { withLength } from './content.js';
import { entryView } from './entry-view.js';
import { RunningTransfers } from './running-transfers.js';

type Signal = Pick<RpcCall, 'signal'>;

/** Without them nothing of the sandbox is left that a command could start in. */
const KEPT: ReadonlySet<string> = new Set(['/', '/home', HOME]);
/** A text beyond this counts as a transfer: as an answer it may be many times as large. */
const SMALL_TEXT_BYTES_MAX = 256 * 1_024;

/** Files of sandboxes (spec 6.1, 6.2). What a caller may not see is not there; a sandbox that stands still is started. */
@RpcService(filesRpc)
export class FilesService implements RpcHandlers<typeof filesRpc> {
  constructor(
    private readonly held: HeldSandboxes,
    private readonly transfers: RunningTransfers,
    private readonly streams: ByteStreams,
  ) {}

  /** One after the other; what was written before a failure stays. */
  write(caller: Caller, { files, ...ref }: WriteFiles, { signal }: Signal): Promise<readonly WrittenFile[]> {
    return this.in(caller, ref, async box => {
      const written: WrittenFile[] = [];
      for (const { path, content } of filesOf(files)) {
        signal.throwIfAborted();
        written.push({ path: sandboxPath(path), size: await driven(box.write(sandboxPath(path), Buffer.from(content))) });
      }
      return written;
    });
  }

  upload(caller: Caller, { path, format, stream, ...ref }: ReceiveUpload, { signal }: Signal): Promise<WrittenFile> {
    return this.in(caller, ref, box =>
      this.transfers.run(caller.teamId, async () => {
        const content = this.streams.receive(stream, signal);
        try {
          return { path: sandboxPath(path), size: await driven(box.write(sandboxPath(path), content, { maxBytes: UPLOADS[format].bytesMax })) };
        } finally {
          content.destroy();
        }
      }),
    );
  }

  read(caller: Caller, { path, ...ref }: FileRef): Promise<FileContent> {
    return this.in(caller, ref, async box => {
      const { size, content } = await driven(box.read(sandboxPath(path)));
      try {
        refuseLarge(size);
        const text = (): Promise<string> => driven(textOf(content));
        return { path: sandboxPath(path), content: await (size > SMALL_TEXT_BYTES_MAX ? this.transfers.run(caller.teamId, text) : text()) };
      } finally {
        content.destroy();
      }
    });
  }

  download(caller: Caller, { path, format, stream, ...ref }: SendDownload, { signal }: Signal): Promise<WrittenFile> {
    return this.in(caller, ref, box =>
      this.transfers.run(caller.teamId, async () => {
        const { size, content } = await driven(box.read(sandboxPath(path)));
        try {
          if (format === 'blob') refuseLarge(size);
          await driven(this.streams.send(stream, withLength(size, content), signal));
          return { path: sandboxPath(path), size };
        } finally {
          content.destroy();
        }
      }),
    );
  }

  async delete(caller: Caller, { path, ...ref }: FileRef): Promise<void> {
    if (KEPT.has(sandboxPath(path))) throw new GatehouseError('validation_error', `path must not be ${sandboxPath(path)}`);
    await this.in(caller, ref, box => driven(box.remove(sandboxPath(path))));
  }

  list(caller: Caller, { path, depth = LIST_DEPTH_DEFAULT, ...ref }: ListFiles): Promise<FileList> {
    return this.in(caller, ref, async box => {
      const { entries, truncated } = await driven(box.list(sandboxPath(path), { depth: Math.max(depth, LIST_DEPTH_DEFAULT), maxEntries: LIST_ENTRIES_MAX }));
      return { entries: entries.map(entryView), truncated };
    });
  }

  info(caller: Caller, { path, ...ref }: FileRef): Promise<FileEntry> {
    return this.in(caller, ref, async box => entryView(await driven(box.stat(sandboxPath(path)))));
  }

  exists(caller: Caller, { path, ...ref }: FileRef): Promise<boolean> {
    return this.in(caller, ref, async box => {
      try {
        await box.stat(sandboxPath(path));
        return true;
      } catch (error) {
        if (error instanceof DriverError && error.kind === 'not-found') return false;
        return driven(Promise.reject(error as Error));
      }
    });
  }

  mkdir(caller: Caller, { path, ...ref }: MakeDirectory): Promise<boolean> {
    return this.in(caller, ref, box => driven(box.mkdir(sandboxPath(path))));
  }

  rename(caller: Caller, { oldPath, newPath, ...ref }: RenameFile): Promise<FileEntry> {
    return this.in(caller, ref, async box => entryView(await driven(box.rename(sandboxPath(oldPath), sandboxPath(newPath)))));
  }

  private in<T>(caller: Caller, ref: SandboxRef, work: (files: SandboxFiles) => Promise<T>): Promise<T> {
    return this.held.use(caller, ref, ({ files }) => work(files));
  }
}

const refuseLarge = (size: number): void => {
  if (size > BLOB_BYTES_MAX) throw new GatehouseError('validation_error', 'The file is larger than 10 MiB: read it with format=stream');
};
