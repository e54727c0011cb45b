import { randomBytes, randomUUID } from 'node:crypto';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;
const AGENT_SLUG = /^[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?$/;
const SANDBOX_ID = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/;

export const isUuid = (value: string): boolean => UUID.test(value);

/** 1-100 of `a-z`, `0-9`, `-`; no hyphen first or last. */
export const isAgentSlug = (value: string): boolean => AGENT_SLUG.test(value);

/** Needs no encoding in a path. Callers may choose these ids, so they are not always uuids. */
export const isSandboxId = (value: string): boolean => SANDBOX_ID.test(value);

/** Random (RFC 9562 version 4): for ids that must not tell when they were made. */
export const uuidV4 = (): string => randomUUID();

/** Time-ordered (RFC 9562 version 7, method 3: 12 bits of sub-millisecond fraction), so that new rows land at the end of an index. */
export const uuidV7 = (now = performance.timeOrigin + performance.now()): string => {
  const bytes = randomBytes(16);
  const milliseconds = Math.floor(now);
  bytes.writeUIntBE(milliseconds, 0, 6);
  const fraction = Math.floor((now - milliseconds) * 4096);
  bytes.writeUInt16BE(0x7000 | fraction, 6);
  bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};
