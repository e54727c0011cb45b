import { type Caller, type ClonedRepository, CLONE_PATH_DEFAULT, type CloneRepository, GatehouseError, gitRpc, type RpcHandlers } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import { RpcService } from '@gatehouse/rpc';
import { Inject } from '@nestjs/common';
import { HeldSandboxes } from '../sandboxes/held-sandboxes.js';
import { RunningCommands } from '../sandboxes/running-commands.js';
import { sandboxPath } from '../sandboxes/sandbox-path.js';
import { LOGGER } from '../tokens.js';
import { cloneRepository } from './clone-repository.js';

/** Git in sandboxes (spec 6.4). */
@RpcService(gitRpc)
export class GitService implements RpcHandlers<typeof gitRpc> {
  /** Targets that are being cloned into: of two into one directory, the one that fails would clear away the other's. */
  private readonly targets = new Set<string>();

  constructor(
    private readonly held: HeldSandboxes,
    private readonly commands: RunningCommands,
    @Inject(LOGGER) private readonly log: Logger,
  ) {}

  /** Counts as a command. Whoever asked may go away, the clone goes on. */
  clone(caller: Caller, { path = CLONE_PATH_DEFAULT, ...input }: CloneRepository): Promise<ClonedRepository> {
    return this.commands.run(caller.teamId, () =>
      this.held.use(caller, input, (handle, sandbox) => this.alone(`${sandbox.id}:${sandboxPath(path)}`, () => cloneRepository(handle, { ...input, path }, { log: this.log }))),
    );
  }

  private async alone<T>(target: string, work: () => Promise<T>): Promise<T> {
    if (this.targets.has(target)) throw new GatehouseError('conflict', 'Another clone into this target is in progress');
    this.targets.add(target);
    try {
      return await work();
    } finally {
      this.targets.delete(target);
    }
  }
}
