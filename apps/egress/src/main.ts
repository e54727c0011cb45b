import 'reflect-metadata';
import { healthRpc } from '@gatehouse/contracts';
import { runService } from '@gatehouse/platform';
import { readEgressConfig } from './config.js';
import { EgressModule } from './egress.module.js';

await runService({
  service: 'egress',
  readConfig: readEgressConfig,
  contracts: [healthRpc('egress')],
  module: context => EgressModule.forRoot(context),
});
