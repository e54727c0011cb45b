import type { ContainerOutput } from './engine-api.js';

const HEADER_BYTES = 8;
const STDOUT = 1;
const TOLD_BYTES_MAX = 4_096;

/**
 * Waits for the agent's first byte on stdout. The engine puts eight bytes before each chunk: the stream's number, three zeros and
 * the length, big endian.
 * @throws with what was written to stderr when the output ends first, or with the signal's reason
 */
export async function agentReady({ stream, head }: ContainerOutput, signal: AbortSignal): Promise<void> {
  const abort = () => stream.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort);
  let rest = head;
  let errors = '';
  try {
    signal.throwIfAborted();
    if (readFrames()) return;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      rest = Buffer.concat([rest, chunk]);
      if (readFrames()) return;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    stream.destroy();
  }
  throw new Error(`the agent ended before it was ready: ${errors.trim() || 'it said nothing'}`);

  function readFrames(): boolean {
    while (rest.length >= HEADER_BYTES && rest.length >= HEADER_BYTES + rest.readUInt32BE(4)) {
      const end = HEADER_BYTES + rest.readUInt32BE(4);
      if (rest[0] === STDOUT) return true;
      errors = (errors + rest.toString('utf8', HEADER_BYTES, end)).slice(-TOLD_BYTES_MAX);
      rest = rest.subarray(end);
    }
    if (rest.length > 16 * TOLD_BYTES_MAX) throw new Error('the agent says more than that it is ready');
    return false;
  }
}
