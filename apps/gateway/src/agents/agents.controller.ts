import { Controller, Delete, Get, HttpCode, Post, Put, Res } from '@nestjs/common';
import { type Agent, AgentRef, agentsRpc, type AgentVersion, type Caller as CallerType, CheckCoverage, type Coverage, ListAgentVersions, PageQuery, PutAgent, RollbackAgent, type RpcClient } from '@gatehouse/contracts';
import { InjectRpc } from '@gatehouse/rpc';
import type { FastifyReply } from 'fastify';
import { Caller, Input } from '../edge/input.decorator.js';
import { Requires } from '../edge/requires.decorator.js';

@Controller('v1/agents')
export class AgentsController {
  constructor(@InjectRpc(agentsRpc) private readonly agents: RpcClient<typeof agentsRpc>) {}

  @Get()
  @Requires('agents:read')
  async list(@Caller() caller: CallerType, @Input(PageQuery) input: PageQuery): Promise<{ agents: readonly Agent[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.agents.list(caller, input);
    return { agents: items, nextCursor };
  }

  @Get(':slug')
  @Requires('agents:read')
  get(@Caller() caller: CallerType, @Input(AgentRef) input: AgentRef): Promise<Agent> {
    return this.agents.get(caller, input);
  }

  /** 201 for the first version of a slug, 200 for every later one. */
  @Put(':slug')
  @Requires('agents:write')
  async put(@Caller() caller: CallerType, @Input(PutAgent) input: PutAgent, @Res({ passthrough: true }) reply: FastifyReply): Promise<Agent> {
    const { agent, created } = await this.agents.put(caller, input);
    void reply.code(created ? 201 : 200);
    return agent;
  }

  /** Cancels its runs, deletes its sandboxes and threads. */
  @Delete(':slug')
  @HttpCode(204)
  @Requires('agents:write')
  delete(@Caller() caller: CallerType, @Input(AgentRef) input: AgentRef): Promise<void> {
    return this.agents.delete(caller, input);
  }

  @Get(':slug/versions')
  @Requires('agents:read')
  async versions(@Caller() caller: CallerType, @Input(ListAgentVersions) input: ListAgentVersions): Promise<{ versions: readonly AgentVersion[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.agents.versions(caller, input);
    return { versions: items, nextCursor };
  }

  @Post(':slug/rollback')
  @HttpCode(200)
  @Requires('agents:write')
  rollback(@Caller() caller: CallerType, @Input(RollbackAgent) input: RollbackAgent): Promise<Agent> {
    return this.agents.rollback(caller, input);
  }

  /** What a chat would find in the vaults. Nothing is stored or started. */
  @Post(':slug/coverage')
  @HttpCode(200)
  @Requires('agents:read', 'vaults:read')
  coverage(@Caller() caller: CallerType, @Input(CheckCoverage) input: CheckCoverage): Promise<Coverage> {
    return this.agents.coverage(caller, input);
  }
}
