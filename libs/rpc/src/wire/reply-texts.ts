import type { ReplyPacket } from './packets.js';

/** From here on a text of a result travels beside the JSON, as bytes: in it, each control character would be six, and written and read one by one. */
const LONG_CHARACTERS = 64 * 1_024;
/** First byte of a message with texts beside its JSON, which begins with a brace. */
const WITH_TEXTS = 0x01;
const PREFIX_BYTES = 5;
const UNPAIRED = /\p{Surrogate}/u;

/** Where in `ok` a text belongs, and how long it is in the message. UTF-16 where UTF-8 could not hold it: an unpaired surrogate. */
interface TextBeside {
  readonly field: string;
  readonly bytes: number;
  readonly encoding: 'utf8' | 'utf16le';
}

type Fields = Record<string, unknown>;

/** A reply as it goes out. Long texts that stand directly in its result follow the JSON. */
export const encodeReply = (reply: ReplyPacket): Buffer => {
  const long = isFields(reply.ok) ? Object.entries(reply.ok).filter((entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1].length >= LONG_CHARACTERS) : [];
  if (long.length === 0) return Buffer.from(JSON.stringify(reply));
  const texts: TextBeside[] = [];
  const contents: Buffer[] = [];
  const ok: Fields = { ...(reply.ok as Fields) };
  for (const [field, text] of long) {
    const encoding = UNPAIRED.test(text) ? 'utf16le' : 'utf8';
    const content = Buffer.from(text, encoding);
    texts.push({ field, bytes: content.length, encoding });
    contents.push(content);
    ok[field] = '';
  }
  const json = Buffer.from(JSON.stringify({ ...reply, ok, texts }));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix[0] = WITH_TEXTS;
  prefix.writeUInt32BE(json.length, 1);
  return Buffer.concat([prefix, json, ...contents]);
};

/** @throws when the message is not what {@link encodeReply} makes */
export const decodeReply = (message: Buffer): unknown => {
  if (message[0] !== WITH_TEXTS) return JSON.parse(message.toString());
  const end = PREFIX_BYTES + message.readUInt32BE(1);
  const { texts, ...reply } = JSON.parse(message.toString('utf8', PREFIX_BYTES, end)) as { texts: readonly TextBeside[]; ok: Fields };
  let at = end;
  for (const { field, bytes, encoding } of texts) {
    if (!Object.hasOwn(reply.ok, field) || !Number.isSafeInteger(bytes) || bytes < 0 || at + bytes > message.length) throw new TypeError('A text of a reply has no place');
    reply.ok[field] = message.toString(encoding, at, at + bytes);
    at += bytes;
  }
  if (at !== message.length) throw new TypeError('A reply is longer than its texts');
  return reply;
};

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
