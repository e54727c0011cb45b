/**
 * The exec protocol after the upgrade, as the agent sees it: type u8, length u32 big-endian, payload.
 * The host has its own copy with its own limits; a test holds the two together.
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

export const HEADER_BYTES = 5;
const MIB = 1024 * 1024;

/** What a client may send, with the longest payload of each. A specification carries whole environments. */
export const CLIENT_FRAMES: ReadonlyMap<number, number> = new Map([
  [FrameType.spec, 8 * MIB],
  [FrameType.stdin, MIB],
  [FrameType.stdinEnd, 0],
  [FrameType.signal, 16],
]);

export class FrameError extends Error {}

export function frameHeader(type: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header[0] = type;
  header.writeUInt32BE(length, 1);
  return header;
}

export function jsonFrame(type: number, value: unknown): Buffer {
  const payload = Buffer.from(JSON.stringify(value));
  return Buffer.concat([frameHeader(type, payload.length), payload]);
}

/** Cuts a byte stream into frames. Holds at most one frame, whatever the sizes of the chunks. */
export class FrameDecoder {
  private readonly header = Buffer.alloc(HEADER_BYTES);
  private headerFilled = 0;
  private payload: Buffer | undefined;
  private payloadFilled = 0;

  constructor(private readonly maxBytesByType: ReadonlyMap<number, number>) {}

  /** @throws {FrameError} on an unknown type or a length over its limit; the stream is then worthless. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.payload === undefined) {
        at += this.fillHeader(chunk, at);
        if (this.headerFilled < HEADER_BYTES) break;
        this.payload = Buffer.allocUnsafe(this.checkedLength());
      }
      const copied = chunk.copy(this.payload, this.payloadFilled, at);
      at += copied;
      this.payloadFilled += copied;
      if (this.payloadFilled === this.payload.length) frames.push(this.finish(this.payload));
    }
    return frames;
  }

  private fillHeader(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.header, this.headerFilled, at, at + HEADER_BYTES - this.headerFilled);
    this.headerFilled += copied;
    return copied;
  }

  private checkedLength(): number {
    const type = this.header.readUInt8(0);
    const length = this.header.readUInt32BE(1);
    const maxBytes = this.maxBytesByType.get(type);
    if (maxBytes === undefined) throw new FrameError(`unknown frame type ${type}`);
    if (length > maxBytes) throw new FrameError(`frame of type ${type} claims ${length} bytes, ${maxBytes} are allowed`);
    return length;
  }

  private finish(payload: Buffer): Frame {
    const frame = { type: this.header.readUInt8(0), payload };
    this.headerFilled = 0;
    this.payload = undefined;
    this.payloadFilled = 0;
    return frame;
  }
}
