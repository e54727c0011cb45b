import { Controller, Delete, Patch, Post } from '@nestjs/common';
import { type Caller as CallerType, CreateCredential, type Credential, credentialsRpc, DeleteCredential, type RpcClient, UpdateCredential } from '@gatehouse/contracts';
import { InjectRpc } from '@gatehouse/rpc';
import { Caller, Input } from '../edge/input.decorator.js';
import { Requires } from '../edge/requires.decorator.js';

/** Secrets go in here and are never answered. */
@Controller('v1/mcp/vaults/:vaultId/credentials')
export class CredentialsController {
  constructor(@InjectRpc(credentialsRpc) private readonly credentials: RpcClient<typeof credentialsRpc>) {}

  @Post()
  @Requires('vaults:write')
  async create(@Caller() caller: CallerType, @Input(CreateCredential) input: CreateCredential): Promise<{ credential: Credential }> {
    return { credential: await this.credentials.create(caller, input) };
  }

  @Patch(':credentialId')
  @Requires('vaults:write')
  async update(@Caller() caller: CallerType, @Input(UpdateCredential) input: UpdateCredential): Promise<{ credential: Credential }> {
    return { credential: await this.credentials.update(caller, input) };
  }

  /** Archives it and destroys its secret; with `?force=true` an archived one goes for good. */
  @Delete(':credentialId')
  @Requires('vaults:write')
  async delete(@Caller() caller: CallerType, @Input(DeleteCredential) input: DeleteCredential): Promise<{ success: true }> {
    await this.credentials.delete(caller, input);
    return { success: true };
  }
}
