import { Controller, Delete, Get, HttpCode, Post, Res } from '@nestjs/common';
import {
  type Caller as CallerType,
  CreateSandbox,
  type CreatedSandbox,
  ExecCommand,
  type ExecResult,
  ListSandboxes,
  type RpcClient,
  type Sandbox,
  SandboxRef,
  type SandboxSummary,
  sandboxesRpc,
} from '@gatehouse/contracts';
import { InjectRpc } from '@gatehouse/rpc';
import type { FastifyReply } from 'fastify';
import { HeldAnswers } from '../edge/held-answers.js';
import { Caller, Input } from '../edge/input.decorator.js';
import { Requires, RequiresToCreate } from '../edge/requires.decorator.js';

@Controller('v1/sandboxes')
export class SandboxesController {
  constructor(
    @InjectRpc(sandboxesRpc) private readonly sandboxes: RpcClient<typeof sandboxesRpc>,
    private readonly held: HeldAnswers,
  ) {}

  /** Answers when the sandbox is provisioned. */
  @Post()
  @RequiresToCreate('sandboxes:write')
  create(@Caller() caller: CallerType, @Input(CreateSandbox) input: CreateSandbox): Promise<CreatedSandbox> {
    return this.sandboxes.create(caller, input);
  }

  @Get()
  @Requires('sandboxes:read')
  async list(@Caller() caller: CallerType, @Input(ListSandboxes) input: ListSandboxes): Promise<{ sandboxes: readonly SandboxSummary[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.sandboxes.list(caller, input);
    return { sandboxes: items, nextCursor };
  }

  @Get(':id')
  @Requires('sandboxes:read')
  get(@Caller() caller: CallerType, @Input(SandboxRef) input: SandboxRef): Promise<Sandbox> {
    return this.sandboxes.get(caller, input);
  }

  @Delete(':id')
  @HttpCode(204)
  @Requires('sandboxes:write')
  delete(@Caller() caller: CallerType, @Input(SandboxRef) input: SandboxRef): Promise<void> {
    return this.sandboxes.delete(caller, input);
  }

  /** A non-zero exit is a result, not a failure. A client that hangs up does not stop the command. */
  @Post(':id/exec')
  @HttpCode(200)
  @Requires('sandboxes:exec')
  async exec(@Caller() caller: CallerType, @Input(ExecCommand) input: ExecCommand, @Res({ passthrough: true }) { raw }: FastifyReply): Promise<ExecResult> {
    const result = await this.sandboxes.exec(caller, input);
    this.held.hold(result.stdout.length + result.stderr.length, raw);
    return result;
  }
}
