import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';

/** Linux' O_PATH: names a file without opening it. Node does not export it. */
const O_PATH = 0o10000000;

/**
 * The agent's socket, named once by descriptor. The directory belongs to the sandbox, so whatever its path means later, a
 * planted link cannot lead the service to another socket.
 */
export class AgentSocket {
  private fd: number | undefined;

  /** @throws when there is no socket at `path` */
  constructor(path: string) {
    this.fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
    if (fstatSync(this.fd).isSocket()) return;
    this.close();
    throw new Error('the agent left no socket');
  }

  readonly dial = (): Socket => connect({ path: `/proc/self/fd/${this.fd ?? 'closed'}` });

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}
