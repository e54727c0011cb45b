import 'reflect-metadata';
import { agentsRpc, credentialsRpc, healthRpc, keyRotationRpc, releasesRpc, vaultsRpc } from '@gatehouse/contracts';
import { runService } from '@gatehouse/platform';
import { readVaultConfig } from './config.js';
import { VaultModule } from './vault.module.js';

await runService({
  service: 'vault',
  readConfig: readVaultConfig,
  contracts: [healthRpc('vault'), vaultsRpc, credentialsRpc, releasesRpc, keyRotationRpc],
  calls: [agentsRpc],
  module: context => VaultModule.forRoot(context),
});
