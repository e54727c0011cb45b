/**
 * The exec protocol after the upgrade, as the host sees it: type u8, length u32 big-endian, payload. The agent has its
 * own copy, because nothing of it may depend on the service; a test holds the two together.
 */
export const FrameType = {
  spec: 0x01,
  started: 0x02,
  stdin: 0x10,
  stdinEnd: 0x11,
  signal: 0x12,
  stdout: 0x20,
  stderr: 0x21,
  exit: 0x2f,
  error: 0x30,
} as const;

export interface Frame {
  type: number;
  payload: Buffer;
}

const HEADER_BYTES = 5;
const JSON_BYTES_MAX = 64 * 1024;
export const FRAME_BYTES_MAX = 1024 * 1024;
/** The agent drops the connection of a longer one. */
export const SPEC_BYTES_MAX = 8 * 1024 * 1024;

/** What an agent may send, with the longest payload of each. */
export const AGENT_FRAMES: ReadonlyMap<number, number> = new Map([
  [FrameType.started, JSON_BYTES_MAX],
  [FrameType.stdout, FRAME_BYTES_MAX],
  [FrameType.stderr, FRAME_BYTES_MAX],
  [FrameType.exit, JSON_BYTES_MAX],
  [FrameType.error, JSON_BYTES_MAX],
]);

/** The bytes of one frame. */
export function encodeFrame(type: number, payload: Uint8Array | string = ''): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header[0] = type;
  header.writeUInt32BE(body.length, 1);
  return Buffer.concat([header, body]);
}

/** The other side broke the protocol. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** Cuts a byte stream into frames. Holds at most one frame, however the stream is chopped: a million chunks of one byte cost no more. */
export class FrameDecoder {
  private readonly header = Buffer.alloc(HEADER_BYTES);
  private headerFilled = 0;
  private payload: Buffer | undefined;
  private payloadFilled = 0;

  constructor(private readonly maxBytesByType: ReadonlyMap<number, number>) {}

  /** @throws {FrameError} on an unknown type or a length over its limit; nothing after it can be understood. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (!this.payload) {
        const copied = chunk.copy(this.header, this.headerFilled, at, at + HEADER_BYTES - this.headerFilled);
        this.headerFilled += copied;
        at += copied;
        if (this.headerFilled < HEADER_BYTES) break;
        this.payload = Buffer.allocUnsafe(this.announcedLength());
      }
      const copied = chunk.copy(this.payload, this.payloadFilled, at);
      this.payloadFilled += copied;
      at += copied;
      if (this.payloadFilled === this.payload.length) frames.push(this.take(this.payload));
    }
    return frames;
  }

  private announcedLength(): number {
    const type = this.header.readUInt8(0);
    const length = this.header.readUInt32BE(1);
    const maxBytes = this.maxBytesByType.get(type);
    if (maxBytes === undefined) throw new FrameError(`unknown frame type 0x${type.toString(16)}`);
    if (length > maxBytes) throw new FrameError(`frame of type 0x${type.toString(16)} claims ${length} bytes; ${maxBytes} are allowed`);
    return length;
  }

  private take(payload: Buffer): Frame {
    const type = this.header.readUInt8(0);
    this.headerFilled = 0;
    this.payload = undefined;
    this.payloadFilled = 0;
    return { type, payload };
  }
}
