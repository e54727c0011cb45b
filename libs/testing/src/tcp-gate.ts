import { connect, createServer, type Socket } from 'node:net';

/** A TCP forwarder in front of a real server, for what a network and a stopped server look like from the outside. */
export interface TcpGate {
  /** The target's URL with the gate's address in it. */
  readonly url: string;
  /** As if the server were stopped: connections are reset and new ones refused. */
  cut(): Promise<void>;
  /** As if the server were frozen: connections stay open, nothing passes. */
  freeze(): void;
  /** The server is back. */
  restore(): Promise<void>;
  close(): Promise<void>;
}

export const openTcpGate = async (target: string): Promise<TcpGate> => {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let frozen = false;
  const server = createServer(inner => {
    const outer = connect({ host: hostname, port: Number(port) });
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.on('data', chunk => !to.write(chunk) && from.pause());
      to.on('drain', () => !frozen && from.resume());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      // A reset is what this gate is for.
      from.on('error', () => to.destroy());
      if (frozen) from.pause();
    }
  });
  const listen = async (onPort: number): Promise<number> => new Promise(resolve => server.listen(onPort, '127.0.0.1', () => resolve((server.address() as { port: number }).port)));
  const stop = async (): Promise<void> =>
    new Promise(resolve => {
      if (server.listening) server.close(() => resolve());
      else resolve();
      for (const socket of sockets) socket.resetAndDestroy();
    });
  const gatePort = await listen(0);
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String(gatePort);
  return {
    url: url.toString(),
    cut: stop,
    freeze: () => {
      frozen = true;
      for (const socket of sockets) socket.pause();
    },
    restore: async () => {
      frozen = false;
      for (const socket of sockets) socket.resume();
      if (!server.listening) await listen(gatePort);
    },
    close: stop,
  };
};
