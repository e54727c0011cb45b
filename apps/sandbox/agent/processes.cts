import { CgroupTree } from './cgroups.cjs';
import { CommandProcess, type CommandSpec } from './command-process.cjs';
import { Failure } from './failure.cjs';
import { killEverything, killTree } from './kill-tree.cjs';
import type { PipeStock } from './pipe-stock.cjs';
import { anyProcess } from './proc-table.cjs';

const RUNNING_MAX = 256;
/** Kept processes that ended wait for someone to read their end; the oldest give way. */
const ENDED_MAX = 8;

export interface ProcessSummary {
  id: string;
  pid: number;
  running: boolean;
  keep: boolean;
}

/** All commands of the sandbox, by id. */
export class Processes {
  private readonly byId = new Map<string, CommandProcess>();
  /** Commands that began when nothing else lived in the sandbox, with the number of starts at that moment. */
  private readonly begunAlone = new WeakMap<CommandProcess, number>();
  private starts = 0;
  private starting = 0;
  private cgroups: CgroupTree | undefined;

  constructor(private readonly pipes: PipeStock) {}

  /** From now on every command gets a cgroup of its own. */
  useCgroups(commandMemoryBytes: number): void {
    this.cgroups = new CgroupTree(commandMemoryBytes);
  }

  async start(spec: CommandSpec): Promise<CommandProcess> {
    if (this.byId.has(spec.id)) throw new Failure('conflict', 'a process of this id exists');
    if (this.starting + this.byId.size >= RUNNING_MAX) throw new Failure('busy', 'too many processes');
    const alone = this.starting === 0 && this.runningCount === 0 && !anyProcess(this.own());
    const ticket = ++this.starts;
    this.starting++;
    try {
      const command = await CommandProcess.start(spec, this.pipes);
      if (alone) this.begunAlone.set(command, ticket);
      await this.place(command);
      this.supervise(command, spec.timeoutMs);
      return command;
    } finally {
      this.starting--;
    }
  }

  find(id: string): CommandProcess | undefined {
    return this.byId.get(id);
  }

  list(): ProcessSummary[] {
    return [...this.byId.values()].map(({ id, pid, running, keep }) => ({ id, pid, running, keep }));
  }

  async signal(command: CommandProcess, name: NodeJS.Signals): Promise<void> {
    if (name === 'SIGKILL') return this.kill(command);
    if (!command.running) return;
    try {
      process.kill(-command.pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw new Failure('bad-request', (error as Error).message);
    }
  }

  /** The whole tree. Without cgroups, a command that was always alone takes everything with it that ever hid from it. */
  async kill(command: CommandProcess): Promise<void> {
    if (this.cgroups) return this.cgroups.kill(command.id);
    const wasAlwaysAlone = this.begunAlone.get(command) === this.starts;
    return wasAlwaysAlone ? killEverything(() => this.own()) : killTree(command, () => this.own());
  }

  killAll(): Promise<void> {
    return killEverything(() => this.own());
  }

  private get runningCount(): number {
    return this.list().filter(({ running }) => running).length;
  }

  /** Pids that are not the user's: pid 1, the agent and what it is running for itself. */
  private own(): ReadonlySet<number> {
    return new Set([1, process.pid, ...(this.pipes.refillPid ? [this.pipes.refillPid] : [])]);
  }

  /** A command without its cgroup could escape a later kill, so it does not live on. */
  private async place(command: CommandProcess): Promise<void> {
    try {
      this.cgroups?.place(command.id, command.pid, this.own());
    } catch (error) {
      command.stdout.detach();
      command.stderr.detach();
      await killTree(command, () => this.own());
      throw error;
    }
  }

  private supervise(command: CommandProcess, timeoutMs: number | undefined): void {
    this.byId.set(command.id, command);
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => void this.timeOut(command), timeoutMs);
    void command.exit.then(() => {
      clearTimeout(timer);
      this.cgroups?.removeEmptyLeaves();
      if (!command.keep) this.byId.delete(command.id);
      const ended = [...this.byId.values()].filter(({ running }) => !running);
      for (const { id } of ended.slice(0, -ENDED_MAX)) this.byId.delete(id);
    });
  }

  /** Where the kill itself fails the host's own deadline ends the sandbox, so there is nobody to tell. */
  private async timeOut(command: CommandProcess): Promise<void> {
    command.timedOut = true;
    await this.kill(command).catch(() => undefined);
  }
}
