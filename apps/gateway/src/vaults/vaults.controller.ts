import { Controller, Delete, Get, HttpCode, Patch, Post } from '@nestjs/common';
import { type Caller as CallerType, CreateVault, DeleteVault, ListVaults, type RpcClient, UpdateVault, type Vault, type VaultDetail, type VaultList, VaultRef, vaultsRpc } from '@gatehouse/contracts';
import { InjectRpc } from '@gatehouse/rpc';
import { Caller, Input } from '../edge/input.decorator.js';
import { Requires } from '../edge/requires.decorator.js';

@Controller('v1/mcp/vaults')
export class VaultsController {
  constructor(@InjectRpc(vaultsRpc) private readonly vaults: RpcClient<typeof vaultsRpc>) {}

  /** The default vault first, then latest `updatedAt`; not paged. */
  @Get()
  @Requires('vaults:read')
  list(@Caller() caller: CallerType, @Input(ListVaults) input: ListVaults): Promise<VaultList> {
    return this.vaults.list(caller, input);
  }

  @Post()
  @Requires('vaults:write')
  async create(@Caller() caller: CallerType, @Input(CreateVault) input: CreateVault): Promise<{ vault: Vault }> {
    return { vault: await this.vaults.create(caller, input) };
  }

  /** Its fields twice: at top level and as `vault`. Archived ones too. */
  @Get(':vaultId')
  @Requires('vaults:read')
  get(@Caller() caller: CallerType, @Input(VaultRef) input: VaultRef): Promise<VaultDetail> {
    return this.vaults.get(caller, input);
  }

  @Patch(':vaultId')
  @Requires('vaults:write')
  async update(@Caller() caller: CallerType, @Input(UpdateVault) input: UpdateVault): Promise<{ vault: Vault }> {
    return { vault: await this.vaults.update(caller, input) };
  }

  /** Archives it and its credentials; with `?force=true` an archived one goes for good. */
  @Delete(':vaultId')
  @Requires('vaults:write')
  async delete(@Caller() caller: CallerType, @Input(DeleteVault) input: DeleteVault): Promise<{ success: true }> {
    await this.vaults.delete(caller, input);
    return { success: true };
  }

  /** The former default is none any more. */
  @Post(':vaultId/set-default')
  @HttpCode(200)
  @Requires('vaults:write')
  async setDefault(@Caller() caller: CallerType, @Input(VaultRef) input: VaultRef): Promise<{ success: true }> {
    await this.vaults.setDefault(caller, input);
    return { success: true };
  }
}
