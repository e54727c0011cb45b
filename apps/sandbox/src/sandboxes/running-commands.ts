import { sandboxUnavailable } from '@gatehouse/contracts';

export interface CommandLimits {
  /** Commands that may run on this node at once. */
  readonly nodeMax: number;
  /** Of them, those of one team. */
  readonly teamMax: number;
}

/**
 * How many commands run now. A command may take ten minutes and hold megabytes of output, so without a bound one team could
 * take all that this process can answer at once, and the others with it.
 */
export class RunningCommands {
  private readonly ofTeam = new Map<string, number>();
  private running = 0;

  constructor(private readonly limits: CommandLimits) {}

  /** @throws GatehouseError `sandbox_error` 503 when there is no room; what `command` throws otherwise */
  async run<T>(teamId: string, command: () => Promise<T>): Promise<T> {
    const own = this.ofTeam.get(teamId) ?? 0;
    if (own >= this.limits.teamMax || this.running >= this.limits.nodeMax) throw sandboxUnavailable('Too many commands are running', undefined, 1);
    this.running++;
    this.ofTeam.set(teamId, own + 1);
    try {
      return await command();
    } finally {
      this.running--;
      const left = (this.ofTeam.get(teamId) ?? 1) - 1;
      if (left === 0) this.ofTeam.delete(teamId);
      else this.ofTeam.set(teamId, left);
    }
  }
}
