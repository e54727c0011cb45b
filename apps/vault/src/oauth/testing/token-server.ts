import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

export interface TokenServer {
  readonly port: number;
  /** All that came, per connection, head and body as they were. */
  readonly received: string[];
  /** Names that TLS clients asked for. */
  readonly serverNames: (string | false | null)[];
  /** Resolves when no connection is left. */
  close(): Promise<void>;
}

/** A server that says exactly what it is told to, as soon as a whole request is there, and knows nothing of HTTP beyond that. */
export const serveTokens = async (answer: (socket: Socket) => void, { tls, host = '127.0.0.1' }: { tls?: TlsOptions; host?: string } = {}): Promise<TokenServer> => {
  const received: string[] = [];
  const serverNames: TokenServer['serverNames'] = [];
  const take = (socket: Socket) => {
    const index = received.push('') - 1;
    socket.on('error', () => undefined); // the other side may end it at any moment
    socket.setEncoding('utf8').on('data', (text: string) => {
      received[index] += text;
      if (isWhole(received[index] ?? '')) answer(socket);
    });
  };
  const server = tls ? createTlsServer(tls, socket => (serverNames.push(socket.servername), take(socket))) : createServer(take);
  server.on('tlsClientError', () => undefined);
  await new Promise<void>(resolve => server.listen(0, host, resolve));
  return { port: (server.address() as AddressInfo).port, received, serverNames, close: () => new Promise(resolve => server.close(() => resolve())) };
};

const isWhole = (text: string): boolean => {
  const [head = '', body] = text.split('\r\n\r\n');
  return body !== undefined && Buffer.byteLength(body) >= Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
};

/** A whole answer. */
export const answering =
  (body: string, { status = 200, headers = '' }: { status?: number; headers?: string } = {}) =>
  (socket: Socket): void =>
    void socket.end(`HTTP/1.1 ${status} Status\r\ncontent-type: application/json\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);

/** Begins an answer and then says the same thing again and again, slowly, and never to an end. */
export const dripping =
  (first: string, drop: string) =>
  (socket: Socket): void => {
    socket.write(first);
    const timer = setInterval(() => socket.write(drop), 5);
    socket.on('close', () => clearInterval(timer));
  };

/** The same, as fast as the other side takes it. */
export const flooding =
  (first: string, chunk: string) =>
  (socket: Socket): void => {
    const fill = () => {
      while (!socket.destroyed && socket.write(chunk));
      socket.once('drain', fill);
    };
    socket.write(first);
    fill();
  };
