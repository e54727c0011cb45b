import { type Caller, type CreateThread, isSandboxId, notFound, type RpcHandlers, type SandboxRef, type Thread, type ThreadRef, type ThreadSummary, threadsRpc, uuidV7 } from '@gatehouse/contracts';
import { RpcService } from '@gatehouse/rpc';
import { theOne } from '../sandboxes/held-sandboxes.js';
import { NO_HISTORY, type ThreadRow, threadSummary, threadView } from './thread-view.js';
import { ThreadsStore } from './threads.store.js';

/** Conversations (spec 7). They are rows only: no call here starts a sandbox or needs the node that holds it. */
@RpcService(threadsRpc)
export class ThreadsService implements RpcHandlers<typeof threadsRpc> {
  constructor(private readonly threads: ThreadsStore) {}

  async list(caller: Caller, { id, agent }: SandboxRef): Promise<readonly ThreadSummary[]> {
    return theOne(isSandboxId(id) ? await this.threads.list(caller, id, agent) : []).threads.map(threadSummary);
  }

  async create(caller: Caller, { id, agent, name, externalUserId }: CreateThread): Promise<ThreadSummary> {
    const { sandboxRowId } = theOne(isSandboxId(id) ? await this.threads.sandboxes(caller, id, agent) : []);
    // Whoever speaks for one end user makes threads of that user, which are all it can see.
    const thread = await this.threads.create(sandboxRowId, { id: uuidV7(), createdAt: new Date(), name: name ?? null, externalUserId: caller.endUserId ?? externalUserId ?? null });
    if (thread === null) throw notFound('Sandbox');
    return threadSummary(thread);
  }

  async get(caller: Caller, ref: ThreadRef): Promise<Thread> {
    const { thread } = await this.find(caller, ref);
    // Runs will tell their history here.
    return threadView(thread, NO_HISTORY);
  }

  /** Of several at once, one deletes and the others find nothing. */
  async delete(caller: Caller, ref: ThreadRef): Promise<void> {
    const { sandboxRowId, thread } = await this.find(caller, ref);
    if (!(await this.threads.delete(sandboxRowId, thread.id))) throw notFound('Thread');
  }

  /** @throws GatehouseError `not_found` of the sandbox first, then of the thread */
  private async find(caller: Caller, { id, agent, threadId }: ThreadRef): Promise<{ sandboxRowId: string; thread: ThreadRow }> {
    const { sandboxRowId, thread } = theOne(isSandboxId(id) ? await this.threads.find(caller, id, agent, threadId) : []);
    if (thread === null) throw notFound('Thread');
    return { sandboxRowId, thread };
  }
}
