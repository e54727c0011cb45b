import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Sends exactly these bytes and reads one answer: for requests that no HTTP client would send. The answer must carry a
 * Content-Length, or the connection must end.
 */
export const rawHttp = async (port: number, bytes: string | Buffer, { deadlineMs = 10_000 } = {}): Promise<RawAnswer> =>
  new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect({ port, host: '127.0.0.1' }, () => socket.write(bytes));
    const finish = (): void => {
      const answer = parseAnswer(received);
      if (answer === null) return;
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const fail = (reason: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Error(`${reason}; received ${JSON.stringify(received.toString('latin1').slice(0, 500))}`));
    };
    const timer = setTimeout(() => fail('no answer in time'), deadlineMs);
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk]);
      finish();
    });
    socket.on('error', error => fail(error.message));
    socket.on('end', () => fail('the connection ended before an answer was complete'));
  });

const parseAnswer = (bytes: Buffer): RawAnswer | null => {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const [statusLine = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  const status = Number(statusLine.split(' ')[1]);
  if (status === 100) return parseAnswer(bytes.subarray(headEnd + 4));
  const length = Number(headers['content-length'] ?? 0);
  const body = bytes.subarray(headEnd + 4);
  return body.length < length ? null : { status, headers, body: body.subarray(0, length).toString('utf8') };
};
