import { join } from 'node:path';
import type { Logger } from '@gatehouse/platform';
import type { SandboxConfig } from './config.js';
import { LocalDriver } from './drivers/local/local.driver.js';
import type { SandboxDriver } from './drivers/sandbox.driver.js';
import { sizesOf } from './installation.js';
import { defaultLimits } from './sandboxes/sandbox-limits.js';

const MIB = 1_048_576;

/** The compiled agent stands beside the compiled service. */
const AGENT_DIR = join(import.meta.dirname, 'agent');

/** The driver that SANDBOX_DRIVER names. */
export const openDriver = (config: SandboxConfig, logger: Logger): Promise<SandboxDriver> => {
  const drivers: Record<SandboxConfig['SANDBOX_DRIVER'], () => Promise<SandboxDriver>> = {
    local: () =>
      LocalDriver.open(
        {
          nodeId: config.NODE_ID,
          dataDir: config.SANDBOX_DATA_DIR,
          runDir: config.SANDBOX_RUN_DIR,
          runtimePath: config.SANDBOX_RUNTIME,
          initPath: config.SANDBOX_INIT,
          agentDir: AGENT_DIR,
          uidBase: config.SANDBOX_UID_BASE,
          maxSandboxes: config.SANDBOXES_MAX,
          pool: {
            size: config.SANDBOX_POOL_SIZE,
            memoryBytes: MIB * config.SANDBOX_POOL_MEMORY_MB,
            first: { template: config.SANDBOX_TEMPLATE, limits: defaultLimits(sizesOf(config)) },
          },
          template: config.SANDBOX_TEMPLATE,
          production: config.NODE_ENV === 'production',
        },
        logger,
      ),
  };
  return drivers[config.SANDBOX_DRIVER]();
};
