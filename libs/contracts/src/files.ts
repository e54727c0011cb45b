import { rpc, rpcContract } from './rpc/contract.js';
import { bySandbox, SandboxRef } from './sandboxes.js';
import { FromQuery, Optional, Required } from './validation/input-fields.js';
import { type FilesInput, IsFilesMap } from './validation/maps.js';
import { IsInteger, IsOneOf, IsPath, IsText, Rule } from './validation/rules.js';

/** Bytes of a file that is read as text or as a blob, and of a blob that is written. */
export const BLOB_BYTES_MAX = 10 * 1_048_576;
export const LIST_DEPTH_DEFAULT = 1;
export const LIST_ENTRIES_MAX = 10_000;

export const BYTE_FORMATS = ['blob', 'stream'] as const;
export type ByteFormat = (typeof BYTE_FORMATS)[number];
const READ_FORMATS = ['text', ...BYTE_FORMATS] as const;
type ReadFormat = (typeof READ_FORMATS)[number];

/** How large a file may be that is uploaded, in bytes, and what a client is told that sends more. */
export const UPLOADS: Readonly<Record<ByteFormat, { readonly bytesMax: number; readonly whenLarger: string }>> = {
  blob: { bytesMax: BLOB_BYTES_MAX, whenLarger: 'Request body exceeds 10 MiB' },
  stream: { bytesMax: 1_024 * 1_048_576, whenLarger: 'Upload exceeds 1 GiB' },
};

/** Bytes of what {@link encodeLength} gives. */
export const LENGTH_BYTES = 8;

/**
 * The head of a download, which stands on its stream before the content: how many bytes that has, as an unsigned integer of eight
 * bytes, big-endian.
 * @throws RangeError when the length is no integer, or negative
 */
export const encodeLength = (length: number): Buffer => {
  const head = Buffer.alloc(LENGTH_BYTES);
  head.writeBigUInt64BE(BigInt(length));
  return head;
};

/**
 * What {@link encodeLength} was given.
 * @throws RangeError when the head is shorter than {@link LENGTH_BYTES}
 */
export const decodeLength = (head: Buffer): number => Number(head.readBigUInt64BE());

/** Any text; its length is bounded by the body it comes in. */
const IsContent = () => Rule('content', value => (typeof value === 'string' ? null : 'must be a string'));

/** `files` or a single file, never both, and never none. */
const IsGivenAlone = () => Rule('alone', (_files, whole) => (whole instanceof WriteFiles && whole.path !== undefined ? 'must not be given together with path' : null));

const isEmpty = (value: unknown): boolean => (Array.isArray(value) ? value.length === 0 : typeof value === 'object' && value !== null && Object.keys(value).length === 0);
const IsNotEmpty = () => Rule('notEmpty', value => (isEmpty(value) ? 'must not be empty' : null));

/** Several files of text. */
export class WriteFiles extends SandboxRef {
  @Required()
  @IsFilesMap()
  @IsNotEmpty()
  @IsGivenAlone()
  files!: FilesInput;

  /** Refused beside `files`. */
  @Optional({ blank: 'absent' })
  path?: unknown;
}

/** One file of text: the short form of {@link WriteFiles}. */
export class WriteFile extends SandboxRef {
  @Required({ blank: 'missing' })
  @IsPath()
  path!: string;

  @Required()
  @IsContent()
  content!: string;
}

/** One file of any bytes. */
export class UploadFile extends SandboxRef {
  @Required()
  @FromQuery()
  @IsPath()
  path!: string;

  @Required()
  @FromQuery()
  @IsOneOf(BYTE_FORMATS)
  format!: ByteFormat;
}

/** What is asked about a path, or done to it. */
export class FileRef extends SandboxRef {
  @Required()
  @FromQuery()
  @IsPath()
  path!: string;
}

export class ReadFile extends FileRef {
  @Optional()
  @FromQuery()
  @IsOneOf(READ_FORMATS)
  format?: ReadFormat;
}

export class ListFiles extends FileRef {
  /** Levels below the path; 0 is read as 1. */
  @Optional()
  @FromQuery()
  @IsInteger({ min: 0, max: 20 })
  depth?: number;
}

export class MakeDirectory extends SandboxRef {
  @Required({ blank: 'missing' })
  @IsPath()
  path!: string;
}

export class RenameFile extends SandboxRef {
  @Required({ blank: 'missing' })
  @IsPath()
  oldPath!: string;

  @Required({ blank: 'missing' })
  @IsPath()
  newPath!: string;
}

/** The name of a stream of bytes between processes. No input of the edge has one: who knows it could read the stream. */
const IsStreamName = () => IsText({ min: 1, max: 200 });

export class ReceiveUpload extends UploadFile {
  /** Where the content comes from. */
  @Required()
  @IsStreamName()
  stream!: string;
}

export class SendDownload extends FileRef {
  @Required()
  @IsOneOf(BYTE_FORMATS)
  format!: ByteFormat;

  /** Where the content goes to, after its length as {@link encodeLength} writes it. */
  @Required()
  @IsStreamName()
  stream!: string;
}

export interface WrittenFile {
  /** Absolute, without `.` and `..`, as are all paths of answers. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

export interface FileContent {
  readonly path: string;
  /** UTF-8; bytes that are not UTF-8 are U+FFFD. */
  readonly content: string;
}

/** What is not known is absent. */
export interface FileEntry {
  readonly name: string;
  readonly path: string;
  readonly type?: 'file' | 'dir' | 'symlink';
  readonly size?: number;
  /** Permission bits. */
  readonly mode?: number;
  /** As `ls` shows them: `-rw-r--r--`. */
  readonly permissions?: string;
  readonly owner?: string;
  readonly group?: string;
  readonly modifiedTime?: string;
  readonly symlinkTarget?: string;
}

export interface FileList {
  /** Sorted by path. */
  readonly entries: readonly FileEntry[];
  /** There are more. */
  readonly truncated: boolean;
}

/** A sandbox that stands still is started first. */
const SMALL_MS = 120_000;
/** 1 GiB at 75 kB/s. A transfer in which nothing moves ends much sooner. */
const TRANSFER_MS = 4 * 3_600_000;

export const filesRpc = rpcContract('sandbox', 'files', {
  /** In the order of the request, each file as a whole; a failure leaves earlier ones written. */
  write: rpc(WriteFiles).returns<readonly WrittenFile[]>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
  /** All or nothing. Answers when all of the stream is written. */
  upload: rpc(ReceiveUpload).returns<WrittenFile>().throws('invalid_request', 'validation_error', 'not_found', 'conflict', 'sandbox_error').within(TRANSFER_MS).routedBy(bySandbox),
  /** At most {@link BLOB_BYTES_MAX}. */
  read: rpc(FileRef).returns<FileContent>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
  /** Answers when all of the stream has been read, or rejects before its first byte, or after it. */
  download: rpc(SendDownload).returns<WrittenFile>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(TRANSFER_MS).routedBy(bySandbox),
  /** A file, a link, or a directory with all that is in it. */
  delete: rpc(FileRef).returns<void>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
  list: rpc(ListFiles).returns<FileList>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
  /** What is at the path itself, a link included. */
  info: rpc(FileRef).returns<FileEntry>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
  exists: rpc(FileRef).returns<boolean>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
  /** False when the directory was there. */
  mkdir: rpc(MakeDirectory).returns<boolean>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
  rename: rpc(RenameFile).returns<FileEntry>().throws('validation_error', 'not_found', 'conflict', 'sandbox_error').within(SMALL_MS).routedBy(bySandbox),
});
