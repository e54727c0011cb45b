import { commonConfig, databaseConfig, readConfig } from '@gatehouse/platform';

export const budgetConfigSpecs = { ...commonConfig, ...databaseConfig };

export const readBudgetConfig = (environment: NodeJS.ProcessEnv) => readConfig(environment, budgetConfigSpecs);
export type BudgetConfig = ReturnType<typeof readBudgetConfig>;
