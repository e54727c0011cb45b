import 'reflect-metadata';
import { healthRpc } from '@gatehouse/contracts';
import { runService } from '@gatehouse/platform';
import { readVaultConfig } from './config.js';
import { VaultModule } from './vault.module.js';

await runService({
  service: 'vault',
  readConfig: readVaultConfig,
  contracts: [healthRpc('vault')],
  module: context => VaultModule.forRoot(context),
});
