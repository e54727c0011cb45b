import { join } from 'node:path';
import type { MachineConfig } from './config.js';
import { DockerDriver } from './drivers/docker/docker.driver.js';
import type { DriverLogger } from './drivers/driver-logger.js';
import { LocalDriver } from './drivers/local/local.driver.js';
import type { SandboxDriver } from './drivers/sandbox.driver.js';
import { sizesOf } from './installation.js';
import { defaultLimits } from './sandboxes/sandbox-limits.js';

const MIB = 1_048_576;

/** The compiled agent stands beside the compiled service. */
const AGENT_DIR = join(import.meta.dirname, 'agent');

export interface DriverConfig extends MachineConfig {
  NODE_ID: string;
}

/** The driver that SANDBOX_DRIVER names. Templates are looked for in `templates` of SANDBOX_DATA_DIR unless another directory is given. */
export const openDriver = (config: DriverConfig, logger: DriverLogger, templatesDir?: string): Promise<SandboxDriver> => {
  const production = config.NODE_ENV === 'production';
  const drivers: Record<MachineConfig['SANDBOX_DRIVER'], () => Promise<SandboxDriver>> = {
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
          ...(templatesDir !== undefined && { templatesDir }),
          allowHostTemplate: !production,
          requireQuota: production && !config.SANDBOX_UNLIMITED_DISKS,
        },
        logger,
      ),
    docker: () =>
      DockerDriver.open(
        {
          nodeId: config.NODE_ID,
          socketPath: config.SANDBOX_DOCKER_HOST.slice('unix://'.length),
          dataDir: config.SANDBOX_DATA_DIR,
          runDir: config.SANDBOX_RUN_DIR,
          runtime: config.SANDBOX_RUNTIME,
          initPath: config.SANDBOX_INIT,
          agentDir: AGENT_DIR,
          image: config.SANDBOX_TEMPLATE,
          maxSandboxes: config.SANDBOXES_MAX,
          requireQuota: production && !config.SANDBOX_UNLIMITED_DISKS,
          requireUserNamespace: production,
        },
        logger,
      ),
  };
  return drivers[config.SANDBOX_DRIVER]();
};
