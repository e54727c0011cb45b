import { type SealingKeys, open, seal } from '@gatehouse/sealing';

/** Binds a box to its call, its place in it and its way, so that it fits nowhere else. */
interface Place {
  readonly pattern: string;
  readonly requestId: string;
}

const associatedData = ({ pattern, requestId }: Place, direction: 'request' | 'reply', field: string): string => JSON.stringify([direction, pattern, requestId, field]);

type Fields = Readonly<Record<string, unknown>>;

/** The input with each of these fields, where given, as a box that only one instance can open. */
export const sealFields = (input: object, fields: readonly string[], toPublicKey: string, transportKey: Buffer, place: Place): object => {
  if (fields.length === 0) return input;
  const sealed: Record<string, unknown> = { ...input };
  for (const field of fields) {
    if (sealed[field] !== undefined) sealed[field] = seal(JSON.stringify(sealed[field]), toPublicKey, transportKey, associatedData(place, 'request', field));
  }
  return sealed;
};

/** @throws SealBroken when one of these fields is given and is not a box for this call: it is never taken in the clear. */
export const openFields = (input: unknown, fields: readonly string[], keys: SealingKeys, transportKey: Buffer, place: Place): unknown => {
  if (fields.length === 0 || typeof input !== 'object' || input === null) return input;
  const opened: Record<string, unknown> = { ...(input as Fields) };
  for (const field of fields) {
    if (opened[field] !== undefined) opened[field] = parse(open(String(opened[field]), keys, transportKey, associatedData(place, 'request', field)));
  }
  return opened;
};

export const sealResult = (result: unknown, toPublicKey: string, transportKey: Buffer, place: Place): string =>
  seal(JSON.stringify({ ok: result }), toPublicKey, transportKey, associatedData(place, 'reply', ''));

/** @throws SealBroken when it is not a sealed result of this call. */
export const openResult = (box: unknown, keys: SealingKeys, transportKey: Buffer, place: Place): unknown =>
  (parse(open(String(box), keys, transportKey, associatedData(place, 'reply', ''))) as { ok?: unknown }).ok;

const parse = (bytes: Buffer): unknown => JSON.parse(bytes.toString('utf8'));
