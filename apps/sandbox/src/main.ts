import 'reflect-metadata';
import { agentsRpc, filesRpc, gitRpc, healthRpc, sandboxesRpc, threadsRpc, vaultsRpc } from '@gatehouse/contracts';
import { runService } from '@gatehouse/platform';
import { readSandboxConfig, type SandboxConfig } from './config.js';
import { SandboxModule } from './sandbox.module.js';

await runService<SandboxConfig>({
  service: 'sandbox',
  readConfig: readSandboxConfig,
  contracts: [agentsRpc, sandboxesRpc, filesRpc, threadsRpc, gitRpc, healthRpc('sandbox')],
  calls: [vaultsRpc],
  // Calls about a sandbox are sent to the instance that its row names.
  instanceOf: config => config.NODE_ID,
  module: context => SandboxModule.forRoot(context),
});
