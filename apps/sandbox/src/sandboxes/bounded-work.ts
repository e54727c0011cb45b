import { sandboxUnavailable } from '@gatehouse/contracts';

export interface WorkLimits {
  /** What may be done on this node at once. */
  readonly nodeMax: number;
  /** Of it, what one team may do. */
  readonly teamMax: number;
}

/** How much of one kind of work is being done, by all and by each team. There is no queue: who finds no room comes back. */
export class BoundedWork {
  private readonly ofTeam = new Map<string, number>();
  private running = 0;

  constructor(
    private readonly limits: WorkLimits,
    private readonly whenFull: string,
  ) {}

  /** @throws GatehouseError `sandbox_error` 503 when there is no room; what `work` throws otherwise */
  async run<T>(teamId: string, work: () => Promise<T>): Promise<T> {
    const own = this.ofTeam.get(teamId) ?? 0;
    if (own >= this.limits.teamMax || this.running >= this.limits.nodeMax) throw sandboxUnavailable(this.whenFull, undefined, 1);
    this.running++;
    this.ofTeam.set(teamId, own + 1);
    try {
      return await work();
    } finally {
      this.running--;
      const left = (this.ofTeam.get(teamId) ?? 1) - 1;
      if (left === 0) this.ofTeam.delete(teamId);
      else this.ofTeam.set(teamId, left);
    }
  }
}
