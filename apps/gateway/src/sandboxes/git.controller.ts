import { Controller, HttpCode, Post } from '@nestjs/common';
import { type Caller as CallerType, CloneRepository, type ClonedRepository, gitRpc, type RpcClient } from '@gatehouse/contracts';
import { InjectRpc } from '@gatehouse/rpc';
import { Deprecated } from '../edge/deprecated.decorator.js';
import { Caller, Input } from '../edge/input.decorator.js';
import { Requires } from '../edge/requires.decorator.js';

@Controller('v1/sandboxes/:id/git')
export class GitController {
  constructor(@InjectRpc(gitRpc) private readonly git: RpcClient<typeof gitRpc>) {}

  /** A client that hangs up does not stop the clone. */
  @Post('clone')
  @HttpCode(200)
  @Deprecated('use exec')
  @Requires('sandboxes:exec')
  clone(@Caller() caller: CallerType, @Input(CloneRepository) input: CloneRepository): Promise<ClonedRepository> {
    return this.git.clone(caller, input);
  }
}
