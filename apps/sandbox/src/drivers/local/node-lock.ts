import { createServer, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const ACQUIRE_MS = 3_000;
const TRY_AGAIN_MS = 50;

/**
 * One driver per node: whoever listens on the node's abstract socket owns it. The kernel frees the name with the
 * process, so it cannot go stale as a lock file can.
 */
export class NodeLock {
  private constructor(private readonly server: Server) {}

  /**
   * Waits a little: a process that was killed while it started another leaves that one with its sockets until it has
   * become its program.
   * @throws EADDRINUSE when another process holds the node
   */
  static async acquire(nodeId: string, withinMs = ACQUIRE_MS): Promise<NodeLock> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      try {
        return await listen(`\0gatehouse-node-${nodeId}`).then(server => new NodeLock(server));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || performance.now() >= deadline) throw error;
      }
      await delay(TRY_AGAIN_MS);
    }
  }

  release(): Promise<void> {
    return new Promise(resolve => this.server.close(() => resolve()));
  }
}

function listen(name: string): Promise<Server> {
  const server = createServer(socket => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(name, () => resolve(server));
    server.unref();
  });
}
