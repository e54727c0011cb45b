import { commonConfig, readConfig } from '@gatehouse/platform';

export const egressConfigSpecs = { ...commonConfig };

export const readEgressConfig = (environment: NodeJS.ProcessEnv) => readConfig(environment, egressConfigSpecs);
export type EgressConfig = ReturnType<typeof readEgressConfig>;
