import type { IncomingHttpHeaders } from 'node:http';
import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { GatehouseError } from '@gatehouse/contracts';

export const BODY_BYTES_MAX = 10 * 1024 * 1024;

const invalid = (message: string): GatehouseError => new GatehouseError('invalid_request', message);
const tooLarge = (): GatehouseError => invalid('Request body exceeds 10 MiB');

const DECODERS: ReadonlyMap<string, (() => Transform) | null> = new Map([
  ['identity', null],
  ['gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

/**
 * Reads the body of a JSON route: an object, `{}` when there is no body.
 * @param contentType as the client declared it; empty = not at all
 * @throws GatehouseError `invalid_request` for another content type, encoding or charset, over 10 MiB (before and after decompression), not JSON, not an object.
 */
export const readJsonBody = async (headers: IncomingHttpHeaders, contentType: string, body: Readable): Promise<Record<string, unknown>> => {
  // A length that is announced is refused before a byte of it is read.
  if (Number(headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw tooLarge();
  const bytes = await readAll(body, () => decoderFor(headers, contentType));
  if (bytes.length === 0) return {};
  const value = parse(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('Request body must be a JSON object');
  return value as Record<string, unknown>;
};

/** Looks at the headers that describe the body; only asked when there is one. */
const decoderFor = (headers: IncomingHttpHeaders, contentType: string): Transform | null => {
  const [type = '', ...parameters] = contentType.split(';').map(part => part.trim().toLowerCase());
  if (type !== 'application/json' && !/^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+\+json$/.test(type)) throw invalid('Content-Type must be application/json');
  const decoder = DECODERS.get((headers['content-encoding'] ?? 'identity').trim().toLowerCase());
  if (decoder === undefined) throw invalid('Unsupported content encoding');
  const charset = parameters.find(parameter => parameter.startsWith('charset='))?.slice('charset='.length).replaceAll('"', '').trim();
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') throw invalid('Unsupported charset');
  return decoder === null ? null : decoder();
};

/** The body's bytes, decompressed. The stream is left open when reading stops early, so that an answer can still be sent on its connection. */
const readAll = async (body: Readable, chooseDecoder: () => Transform | null): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let decoder: Transform | null = null;
  for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (bytes === 0 && chunk.length > 0) decoder = chooseDecoder();
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw tooLarge();
    chunks.push(chunk);
  }
  return decoder === null ? Buffer.concat(chunks) : decompress(decoder, chunks);
};

const decompress = async (decoder: Transform, compressed: readonly Buffer[]): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (const chunk of compressed) decoder.write(chunk);
  decoder.end();
  try {
    for await (const chunk of decoder as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > BODY_BYTES_MAX) throw tooLarge();
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof GatehouseError ? error : invalid('Request body is not valid JSON');
  } finally {
    decoder.destroy();
  }
  return Buffer.concat(chunks);
};

const parse = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (_notJson) {
    throw invalid('Request body is not valid JSON');
  }
};
