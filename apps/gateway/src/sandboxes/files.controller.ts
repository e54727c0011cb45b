import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { Controller, Delete, Get, HttpCode, Inject, Post, Req, Res, StreamableFile } from '@nestjs/common';
import {
  type ByteFormat,
  type Caller as CallerType,
  decodeLength,
  type FileContent,
  type FileEntry,
  FileRef,
  filesRpc,
  GatehouseError,
  internalError,
  LENGTH_BYTES,
  ListFiles,
  MakeDirectory,
  ReadFile,
  RenameFile,
  type RpcClient,
  sandboxUnavailable,
  UploadFile,
  UPLOADS,
  WriteFile,
  WriteFiles,
  type WrittenFile,
} from '@gatehouse/contracts';
import { ByteStreams, InjectRpc, newStreamRef } from '@gatehouse/rpc';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { takesBytes } from '../edge/edge.js';
import { HeldAnswers } from '../edge/held-answers.js';
import { Caller, Input, readInput } from '../edge/input.decorator.js';
import { Requires, RequiresOfUploads } from '../edge/requires.decorator.js';
import { UploadedBytes } from '../edge/uploaded-bytes.js';

/** Number: how long a client that uploads may send nothing. */
export const UPLOAD_SILENCE_MS = Symbol('UploadSilenceMs');

/** How long the service may take to tell of a body that broke. */
const UNHEARD_MS = 2_000;

@Controller('v1/sandboxes/:id/files')
export class FilesController {
  constructor(
    @InjectRpc(filesRpc) private readonly files: RpcClient<typeof filesRpc>,
    private readonly streams: ByteStreams,
    private readonly held: HeldAnswers,
    @Inject(UPLOAD_SILENCE_MS) private readonly silenceMs: number,
  ) {}

  /** Files of text as JSON, one or several; with `format` in the query one file, whose bytes are the body. */
  @Post()
  @HttpCode(200)
  @RequiresOfUploads('format', 'sandboxes:exec')
  async write(@Caller() caller: CallerType, @Req() request: FastifyRequest): Promise<WrittenFile | { files: readonly WrittenFile[] }> {
    if (takesBytes(request)) return this.upload(caller, readInput(UploadFile, request), request);
    if (hasFiles(request.body) || !hasFile(request.body)) return { files: await this.files.write(caller, readInput(WriteFiles, request)) };
    const { path, content, ...ref } = readInput(WriteFile, request);
    const [written] = await this.files.write(caller, { ...ref, files: [{ path, content }] });
    if (written === undefined) throw internalError(new Error('A file was written and not told of'));
    return written;
  }

  /** Text as JSON, or the bytes as they are with a `Content-Length`. What fails once they flow breaks the connection. */
  @Get()
  @Requires('sandboxes:exec')
  async read(@Caller() caller: CallerType, @Input(ReadFile) { format = 'text', ...file }: ReadFile, @Res({ passthrough: true }) reply: FastifyReply): Promise<FileContent | StreamableFile> {
    if (format !== 'text') return this.download(caller, { ...file, format }, reply);
    const text = await this.files.read(caller, file);
    this.held.hold(text.content.length, reply.raw);
    return text;
  }

  @Delete()
  @HttpCode(204)
  @Requires('sandboxes:exec')
  delete(@Caller() caller: CallerType, @Input(FileRef) input: FileRef): Promise<void> {
    return this.files.delete(caller, input);
  }

  @Get('list')
  @Requires('sandboxes:exec')
  async list(@Caller() caller: CallerType, @Input(ListFiles) input: ListFiles, @Res({ passthrough: true }) reply: FastifyReply): Promise<readonly FileEntry[]> {
    const { entries, truncated } = await this.files.list(caller, input);
    if (truncated) void reply.header('x-truncated', 'true');
    return entries;
  }

  @Get('info')
  @Requires('sandboxes:exec')
  info(@Caller() caller: CallerType, @Input(FileRef) input: FileRef): Promise<FileEntry> {
    return this.files.info(caller, input);
  }

  @Get('exists')
  @Requires('sandboxes:exec')
  exists(@Caller() caller: CallerType, @Input(FileRef) input: FileRef): Promise<boolean> {
    return this.files.exists(caller, input);
  }

  @Post('mkdir')
  @HttpCode(200)
  @Requires('sandboxes:exec')
  mkdir(@Caller() caller: CallerType, @Input(MakeDirectory) input: MakeDirectory): Promise<boolean> {
    return this.files.mkdir(caller, input);
  }

  @Post('rename')
  @HttpCode(200)
  @Requires('sandboxes:exec')
  rename(@Caller() caller: CallerType, @Input(RenameFile) input: RenameFile): Promise<FileEntry> {
    return this.files.rename(caller, input);
  }

  private async upload(caller: CallerType, input: UploadFile, { raw }: FastifyRequest): Promise<WrittenFile> {
    const stream = newStreamRef();
    const body = new UploadedBytes(raw, { ...UPLOADS[input.format], silenceMs: this.silenceMs });
    const over = new AbortController();
    const lost = new AbortController();
    let unheard: NodeJS.Timeout | undefined;
    this.streams.send(stream, body, over.signal).catch((error: unknown) => {
      // What is wrong with the body the service hears, leaves nothing behind and then says so; unless it was not there yet.
      if (body.errored === null) lost.abort(transferFailure(error));
      else unheard = setTimeout(() => lost.abort(body.errored), UNHEARD_MS);
    });
    try {
      return await this.files.upload(caller, { ...input, stream }, { signal: lost.signal });
    } catch (error) {
      throw transferFailure(error);
    } finally {
      clearTimeout(unheard);
      over.abort();
    }
  }

  private async download(caller: CallerType, input: FileRef & { format: ByteFormat }, reply: FastifyReply): Promise<StreamableFile> {
    const stream = newStreamRef();
    const over = new AbortController();
    reply.raw.once('close', () => over.abort(new GatehouseError('invalid_request', 'The request ended before it was complete')));
    const bytes = this.streams.receive(stream, over.signal);
    this.files.download(caller, { ...input, stream }, { signal: over.signal }).catch((error: unknown) => bytes.destroy(error as Error));
    try {
      return new StreamableFile(bytes, { type: 'application/octet-stream', length: await readLength(bytes) });
    } catch (error) {
      throw transferFailure(error);
    }
  }
}

/** A stream fails as the bus does; here it is the way to a sandbox that is not there. */
const transferFailure = (error: unknown): unknown =>
  error instanceof GatehouseError && error.code === 'internal_error' && error.status === 503 ? sandboxUnavailable('The transfer broke off', error, error.retryAfter) : error;

const isGiven = (body: unknown, name: string): boolean => {
  const value: unknown = (body as Record<string, unknown> | undefined)?.[name];
  return value !== undefined && value !== null;
};
const hasFiles = (body: unknown): boolean => isGiven(body, 'files');
/** An empty path is a missing one, and then it is the path that is missing. */
const hasFile = (body: unknown): boolean => isGiven(body, 'content') || (isGiven(body, 'path') && (body as { path: unknown }).path !== '');

/** What comes before a content on its stream. The rest stays there. */
const readLength = async (bytes: Readable): Promise<number> => {
  for (;;) {
    if (bytes.errored !== null) throw bytes.errored;
    const length = bytes.read(LENGTH_BYTES) as Buffer | null;
    if (length?.length === LENGTH_BYTES) return decodeLength(length);
    if (length !== null || bytes.readableEnded) throw internalError(new Error('A content came without its length'));
    const turn = new AbortController();
    const { signal } = turn;
    await Promise.race([once(bytes, 'readable', { signal }), once(bytes, 'end', { signal })]).finally(() => turn.abort()); // what did not come first listens no more
  }
};
