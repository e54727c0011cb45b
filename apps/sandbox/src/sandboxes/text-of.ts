import type { Readable } from 'node:stream';

/** All of a file, or of an output, as text; bytes that are not UTF-8 become U+FFFD, a byte order mark stays. */
export const textOf = async (content: Readable): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of content as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
};
