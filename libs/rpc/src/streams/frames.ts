import type { WireError } from '@gatehouse/contracts';

/**
 * Bytes of a whole chunk. Above the bus' bound for inline messages, so that chunks travel as parcels and never fill the
 * subscription connection that all streams and calls of a process share.
 */
export const CHUNK_BYTES = 256 * 1024;

/** Chunks that may be on their way or unread: what one stream can hold of Redis' memory, and of the receiver's. */
export const WINDOW_CHUNKS = 8;

/** From the sender. Chunks are numbered from 0 and may overtake one another. */
export type DataFrame =
  /** Here I am: what may I send? */
  | { readonly kind: 'hello' }
  | { readonly kind: 'chunk'; readonly sequence: number; readonly pieces: readonly Buffer[] }
  /** There are so many chunks. */
  | { readonly kind: 'end'; readonly sequence: number }
  /** The source failed; JSON on the wire. */
  | { readonly kind: 'failed'; readonly error: WireError };

/** From the receiver. */
export type CreditFrame =
  /** All chunks below this number may be sent. Cumulative, so that one too many or out of order does no harm. */
  | { readonly kind: 'grant'; readonly sequence: number }
  /** Everything was read. */
  | { readonly kind: 'done' }
  /** The reader wants no more. */
  | { readonly kind: 'stopped' }
  /** The receiver cannot go on. */
  | { readonly kind: 'broken' };

export type Frame = DataFrame | CreditFrame;

const DATA_KINDS = ['hello', 'chunk', 'end', 'failed'] as const;
const CREDIT_KINDS = ['grant', 'done', 'stopped', 'broken'] as const;
const KINDS: readonly Frame['kind'][] = [...DATA_KINDS, ...CREDIT_KINDS];

const SEQUENCE_BYTES = 6;
const HEAD_BYTES = 1 + SEQUENCE_BYTES;

/** A frame on the wire: kind (1 byte), sequence (6, big endian, 0 where it has none), payload. */
export const encodeFrame = (frame: Frame): Buffer => {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(KINDS.indexOf(frame.kind));
  if ('sequence' in frame) head.writeUIntBE(frame.sequence, 1, SEQUENCE_BYTES);
  if (frame.kind === 'chunk') return Buffer.concat([head, ...frame.pieces]);
  if (frame.kind === 'failed') return Buffer.concat([head, Buffer.from(JSON.stringify(frame.error))]);
  return head;
};

/** Null when it is none. */
export const parseDataFrame = (message: Buffer): DataFrame | null => {
  const kind = DATA_KINDS.find((_kind, index) => index === message[0]);
  if (kind === undefined || message.length < HEAD_BYTES) return null;
  const sequence = message.readUIntBE(1, SEQUENCE_BYTES);
  const bytes = message.subarray(HEAD_BYTES);
  if (kind === 'chunk') return bytes.length > 0 && bytes.length <= CHUNK_BYTES ? { kind, sequence, pieces: [bytes] } : null;
  if (kind === 'end') return { kind, sequence };
  if (kind === 'failed') return parseFailure(bytes);
  return { kind };
};

/** Null when it is none. */
export const parseCreditFrame = (message: Buffer): CreditFrame | null => {
  const kind = CREDIT_KINDS.find((_kind, index) => DATA_KINDS.length + index === message[0]);
  if (kind === undefined || message.length !== HEAD_BYTES) return null;
  return kind === 'grant' ? { kind, sequence: message.readUIntBE(1, SEQUENCE_BYTES) } : { kind };
};

const parseFailure = (bytes: Buffer): DataFrame | null => {
  try {
    // Read by GatehouseError.fromWire, which takes anything.
    return { kind: 'failed', error: JSON.parse(bytes.toString()) as WireError };
  } catch {
    // Not JSON is as malformed as a frame of no kind.
    return null;
  }
};
