import { Controller, Delete, Get, HttpCode, Post } from '@nestjs/common';
import { type Caller as CallerType, CreateThread, type RpcClient, SandboxRef, type Thread, ThreadRef, type ThreadSummary, threadsRpc } from '@gatehouse/contracts';
import { InjectRpc } from '@gatehouse/rpc';
import { Caller, Input } from '../edge/input.decorator.js';
import { Requires } from '../edge/requires.decorator.js';

@Controller('v1/sandboxes/:id/threads')
export class ThreadsController {
  constructor(@InjectRpc(threadsRpc) private readonly threads: RpcClient<typeof threadsRpc>) {}

  /** A bare array, newest first, at most the newest 1000: published clients read no pages. */
  @Get()
  @Requires('sandboxes:read')
  list(@Caller() caller: CallerType, @Input(SandboxRef) input: SandboxRef): Promise<readonly ThreadSummary[]> {
    return this.threads.list(caller, input);
  }

  @Post()
  @Requires('sandboxes:write')
  create(@Caller() caller: CallerType, @Input(CreateThread) input: CreateThread): Promise<ThreadSummary> {
    return this.threads.create(caller, input);
  }

  @Get(':threadId')
  @Requires('sandboxes:read')
  get(@Caller() caller: CallerType, @Input(ThreadRef) input: ThreadRef): Promise<Thread> {
    return this.threads.get(caller, input);
  }

  @Delete(':threadId')
  @HttpCode(204)
  @Requires('sandboxes:write')
  delete(@Caller() caller: CallerType, @Input(ThreadRef) input: ThreadRef): Promise<void> {
    return this.threads.delete(caller, input);
  }
}
