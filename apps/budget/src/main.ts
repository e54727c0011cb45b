import 'reflect-metadata';
import { healthRpc } from '@gatehouse/contracts';
import { runService } from '@gatehouse/platform';
import { readBudgetConfig } from './config.js';
import { BudgetModule } from './budget.module.js';

await runService({
  service: 'budget',
  readConfig: readBudgetConfig,
  contracts: [healthRpc('budget')],
  module: context => BudgetModule.forRoot(context),
});
