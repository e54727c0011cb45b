import { createServer, type Server } from 'node:net';

/**
 * One driver per node: whoever listens on the node's abstract socket owns it. The kernel frees the name with the
 * process, so it cannot go stale as a lock file can.
 */
export class NodeLock {
  private constructor(private readonly server: Server) {}

  /** @throws EADDRINUSE when another process holds the node */
  static acquire(nodeId: string): Promise<NodeLock> {
    const server = createServer(socket => socket.destroy());
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(`\0gatehouse-node-${nodeId}`, () => resolve(new NodeLock(server)));
      server.unref();
    });
  }

  release(): Promise<void> {
    return new Promise(resolve => this.server.close(() => resolve()));
  }
}
