import { commonConfig, databaseConfig, readConfig } from '@gatehouse/platform';

export const vaultConfigSpecs = { ...commonConfig, ...databaseConfig };

export const readVaultConfig = (environment: NodeJS.ProcessEnv) => readConfig(environment, vaultConfigSpecs);
export type VaultConfig = ReturnType<typeof readVaultConfig>;
