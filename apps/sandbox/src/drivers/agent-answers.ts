import { constants } from 'node:os';
import { posix } from 'node:path';
import { DriverError } from './driver-error.js';
import type { FileEntry, FileList, ProcessExit, ProcessSummary } from './sandbox.driver.js';

/** The agent said something no agent says. It is not ours any more: the sandbox has to end. */
export class AgentViolation extends Error {
  override readonly name = 'AgentViolation';
}

export interface AgentHealth {
  agentVersion: string;
  processes: number;
}

export type Json = Record<string, unknown>;

/** @throws {AgentViolation} unless the text is a JSON object */
export function parseObject(text: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AgentViolation('not JSON', { cause: error });
  }
  return expectObject(value);
}

export function parseHealth(body: Json): AgentHealth {
  return { agentVersion: expectString(body.agentVersion), processes: expectCount(body.processes) };
}

export function parseStarted(text: string): { id: string; pid: number } {
  const body = parseObject(text);
  return { id: expectString(body.id), pid: expectCount(body.pid) };
}

export function parseProcesses(body: Json): ProcessSummary[] {
  if (!Array.isArray(body.processes)) throw new AgentViolation('no list of processes');
  return body.processes.map(expectObject).map(each => ({
    id: expectString(each.id),
    pid: expectCount(each.pid),
    running: each.running === true,
    keep: each.keep === true,
  }));
}

export function parseExit(text: string): ProcessExit {
  const body = parseObject(text);
  return {
    code: body.code === null ? null : expectCount(body.code),
    signal: body.signal === null ? null : expectSignal(body.signal),
    timedOut: body.timedOut === true,
    truncated: body.truncated === true,
    stdoutBytes: expectCount(body.stdoutBytes),
    stderrBytes: expectCount(body.stderrBytes),
  };
}

const FILE_TYPES = ['file', 'dir', 'symlink'] as const;
const MODE_MAX = 0o7777;
const UID_MAX = 0xffff_ffff;
/** What the kernel takes, in bytes. */
const NAME_MAX = 255;
const LINK_TARGET_MAX = 4096;
/** Half a character besides: nobody after us could write it down. */
const IMPOSSIBLE = /[\0\p{Surrogate}]/u;

/** What the agent says is at `path`, which it is not asked to repeat. */
export function parseFileEntry(body: Json, path: string): FileEntry {
  return {
    name: posix.basename(path) || '/',
    path,
    ...(body.type !== undefined && { type: expectFileType(body.type) }),
    size: expectCount(body.size),
    mode: expectCount(body.mode, MODE_MAX),
    uid: expectCount(body.uid, UID_MAX),
    gid: expectCount(body.gid, UID_MAX),
    modifiedMs: expectNumber(body.modifiedMs),
    ...(body.symlinkTarget !== undefined && { symlinkTarget: expectLinkTarget(body.symlinkTarget) }),
  };
}

/** The answer names entries from the listed directory down, in the order of their code points. */
export function parseFileList(body: Json, asked: { path: string; depth: number; maxEntries: number }): FileList {
  if (!Array.isArray(body.entries) || body.entries.length > asked.maxEntries) throw new AgentViolation('no list of entries, or a longer one than asked for');
  const found = body.entries.map(expectObject).map(entry => ({ entry, below: expectPathBelow(entry.path, asked.depth) }));
  if (found.some(({ below }, index) => index > 0 && comesBefore(below, found[index - 1]?.below ?? ''))) throw new AgentViolation('entries out of order');
  return { entries: found.map(({ entry, below }) => parseFileEntry(entry, posix.join(asked.path, below))), truncated: body.truncated === true };
}

/** @throws {AgentViolation} unless it is what was sent */
export function parseWritten(body: Json, sentBytes: number | null): number {
  const bytes = expectCount(body.bytes);
  if (bytes !== sentBytes) throw new AgentViolation('not what was sent');
  return bytes;
}

export function parseCreated(body: Json): boolean {
  if (typeof body.created !== 'boolean') throw new AgentViolation('neither created nor there');
  return body.created;
}

/** The length of content to come. Nothing is set aside for it. */
export function parseSize(contentLength: string | undefined): number {
  if (!/^\d{1,16}$/.test(contentLength ?? '')) throw new AgentViolation('content of unknown length');
  return expectCount(Number(contentLength));
}

const REFUSALS: Readonly<Record<string, (cause: Error) => DriverError>> = {
  'bad-cwd': cause => new DriverError('bad-cwd', 'The working directory does not exist', cause),
  'too-big': cause => new DriverError('failed', 'The command and its environment are too large', cause),
  'not-found': cause => new DriverError('failed', 'Not found', cause),
  'disk-full': cause => new DriverError('failed', 'The disk of the sandbox is full', cause),
  busy: cause => new DriverError('unavailable', 'The sandbox has no room for another process', cause),
  gone: cause => new DriverError('failed', 'That output is no longer kept', cause),
};

const DENIED = 'The file system of the sandbox does not allow this';
const FILE_REFUSALS: Readonly<Record<string, (cause: Error) => DriverError>> = {
  'not-found': cause => new DriverError('not-found', 'The file does not exist', cause),
  'not-a-file': cause => new DriverError('wrong-kind', 'The path is not a regular file', cause),
  'not-a-directory': cause => new DriverError('wrong-kind', 'The path is not a directory', cause),
  'of-kernel': cause => new DriverError('wrong-kind', 'The path belongs to a file system of the kernel', cause),
  occupied: cause => new DriverError('occupied', 'Something else is at the path', cause),
  denied: cause => new DriverError('denied', DENIED, cause),
  'across-mounts': cause => new DriverError('denied', 'Only files and links can be moved to another file system of the sandbox', cause),
  'too-large': cause => new DriverError('too-large', 'The file is too large', cause),
  'disk-full': cause => new DriverError('failed', 'The disk of the sandbox is full', cause),
  busy: cause => new DriverError('unavailable', 'The sandbox is too busy', cause),
};

/** What the agent refused, with our words: its own text is part of the sandbox and goes to the log only. */
export function parseRefusal(text: string): DriverError {
  return refusal(text, REFUSALS);
}

/** The same of a call about files. */
export function parseFileRefusal(text: string): DriverError {
  return refusal(text, FILE_REFUSALS);
}

function refusal(text: string, refusals: typeof REFUSALS): DriverError {
  const { code, message } = parseObject(text);
  const cause = new Error(`agent: ${JSON.stringify({ code, message }).slice(0, 1024)}`);
  const known = typeof code === 'string' && Object.hasOwn(refusals, code) ? refusals[code] : undefined;
  return known?.(cause) ?? new DriverError('failed', 'The sandbox refused', cause);
}

function expectObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new AgentViolation('not an object');
  return value as Json;
}

function expectString(value: unknown): string {
  if (typeof value !== 'string' || value.length > 256) throw new AgentViolation('not a short text');
  return value;
}

function expectCount(value: unknown, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) throw new AgentViolation('not a count');
  return value;
}

function expectNumber(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new AgentViolation('not a number');
  return value;
}

function expectFileType(value: unknown): FileEntry['type'] {
  const type = FILE_TYPES.find(known => known === value);
  if (!type) throw new AgentViolation('not a type of file');
  return type;
}

function expectLinkTarget(value: unknown): string {
  if (typeof value !== 'string' || value.length > LINK_TARGET_MAX || IMPOSSIBLE.test(value)) throw new AgentViolation('not the target of a link');
  return value;
}

function expectPathBelow(value: unknown, depth: number): string {
  if (typeof value !== 'string') throw new AgentViolation('not a path');
  const names = value.split('/', depth + 1);
  if (names.length > depth || !names.every(isName)) throw new AgentViolation('not a path below the directory');
  return value;
}

/** What a directory can hold. */
function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && name.length <= NAME_MAX && !IMPOSSIBLE.test(name);
}

/** As the bytes of UTF-8 compare. */
function comesBefore(a: string, b: string): boolean {
  return Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0;
}

function expectSignal(value: unknown): NodeJS.Signals {
  if (typeof value !== 'string' || !Object.hasOwn(constants.signals, value)) throw new AgentViolation('not a signal');
  return value as NodeJS.Signals;
}
