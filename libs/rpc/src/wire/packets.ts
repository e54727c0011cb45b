import type { Caller, WireError } from '@gatehouse/contracts';
import { decodeReply } from './reply-texts.js';

/** Bytes of a serialised packet: two outputs of 10 MiB, of which every character is written as six in JSON, fit. */
export const PACKET_BYTES_MAX = 128 * 1024 * 1024;

/** To an instance's request channel. */
export interface RequestPacket {
  readonly v: 1;
  /** Unguessable: who knows it could cancel or answer the call. */
  readonly id: string;
  readonly pattern: string;
  readonly caller: Caller;
  /** Sealed fields are boxes here. */
  readonly input: unknown;
  /** Milliseconds left, not a point in time: clocks of two machines differ. */
  readonly timeoutMs: number;
  /** W3C Trace Context `traceparent`. */
  readonly trace?: string;
  readonly replyTo: string;
  /** Public key that a sealed result is sealed to. */
  readonly replyKey?: string;
}

/** To an instance's control channel: nobody waits for this call any more. */
export interface CancelPacket {
  readonly v: 1;
  readonly cancel: string;
  readonly replyTo: string;
}

/** To a client's reply channel. Exactly one of `err` and `moved`, or neither and then `ok` (absent for undefined). */
export interface ReplyPacket {
  readonly id: string;
  readonly ok?: unknown;
  readonly err?: WireError;
  /** Name of the instance that holds what the call is about. */
  readonly moved?: string;
}

export const parseRequest = (message: Buffer): RequestPacket | null => {
  const packet = parseObject(message);
  if (packet === null || packet['v'] !== 1 || !isText(packet['id']) || !isText(packet['pattern']) || !isText(packet['replyTo'])) return null;
  if (typeof packet['timeoutMs'] !== 'number' || !isOptionalText(packet['trace']) || !isOptionalText(packet['replyKey']) || !isCaller(packet['caller'])) return null;
  return packet as unknown as RequestPacket;
};

export const parseCancel = (message: Buffer): CancelPacket | null => {
  const packet = parseObject(message);
  return packet !== null && packet['v'] === 1 && isText(packet['cancel']) && isText(packet['replyTo']) ? (packet as unknown as CancelPacket) : null;
};

export const parseReply = (message: Buffer): ReplyPacket | null => {
  const packet = parseObject(message, decodeReply);
  return packet !== null && isText(packet['id']) && isOptionalText(packet['moved']) ? (packet as unknown as ReplyPacket) : null;
};

/** Cheap for short texts: a UTF-16 code unit has at most three bytes. */
export const exceedsBytes = (text: string, bytesMax: number): boolean => text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax);

type Fields = Readonly<Record<string, unknown>>;

const json = (message: Buffer): unknown => JSON.parse(message.toString());

const parseObject = (message: Buffer, decode: (message: Buffer) => unknown = json): Fields | null => {
  try {
    const value = decode(message);
    return isObject(value) ? value : null;
  } catch {
    // Not JSON is as malformed as JSON of another shape.
    return null;
  }
};

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const isOptionalText = (value: unknown): boolean => value === undefined || isText(value);

/** What no handler can do without. The rest of a caller was checked where it was built. */
const isCaller = (value: unknown): boolean => isObject(value) && typeof value['teamId'] === 'string' && typeof value['requestId'] === 'string' && Array.isArray(value['scopes']);
