import { type Database, pingDatabase } from '@gatehouse/database';
import { DATABASE, DatabaseModule, healthController, READINESS, type Readiness, type ServiceContext } from '@gatehouse/platform';
import { type DynamicModule, Module } from '@nestjs/common';
import { AgentsService } from './agents/agents.service.js';
import { AgentsStore } from './agents/agents.store.js';
import type { SandboxConfig } from './config.js';
import { GitService } from './git/git.service.js';
import { FilesService } from './files/files.service.js';
import { RunningTransfers } from './files/running-transfers.js';
import { installationOf } from './installation.js';
import { openDriver } from './open-driver.js';
import { SandboxNode } from './sandbox-node.js';
import { HeldSandboxes } from './sandboxes/held-sandboxes.js';
import { NodeBoxes } from './sandboxes/node-boxes.js';
import { NodeSandboxesStore } from './sandboxes/node-sandboxes.store.js';
import { ProvisionSandbox } from './sandboxes/provision-sandbox.js';
import { ReconcileNode } from './sandboxes/reconcile-node.js';
import { RemoveSandboxes } from './sandboxes/remove-sandboxes.js';
import { realAfter } from './sandboxes/running-box.js';
import { RunningCommands } from './sandboxes/running-commands.js';
import { SandboxesService } from './sandboxes/sandboxes.service.js';
import { SandboxesStore } from './sandboxes/sandboxes.store.js';
import { ThreadsService } from './threads/threads.service.js';
import { ThreadsStore } from './threads/threads.store.js';
import { AFTER, ENV_KEYS, INSTALLATION, LOGGER, NODE_ID, SANDBOX_DRIVER, STOP_ON_SHUTDOWN } from './tokens.js';

/** Everything of the sandbox service but its driver's inside. */
@Module({})
export class SandboxModule {
  static forRoot({ config, logger, instance }: ServiceContext<SandboxConfig>): DynamicModule {
    const readiness = (database: Database): Readiness => ({ instance, probe: () => pingDatabase(database) });
    return {
      module: SandboxModule,
      imports: [DatabaseModule.forRoot({ url: config.DATABASE_URL, applicationName: `gatehouse-sandbox-${config.NODE_ID}`, connectionsMax: config.DATABASE_CONNECTIONS_MAX, logger })],
      controllers: [AgentsService, SandboxesService, FilesService, ThreadsService, GitService, healthController('sandbox')],
      providers: [
        { provide: NODE_ID, useValue: config.NODE_ID },
        { provide: INSTALLATION, useValue: installationOf(config) },
        { provide: ENV_KEYS, useValue: config.SANDBOX_KEYS },
        { provide: STOP_ON_SHUTDOWN, useValue: config.SANDBOX_STOP_ON_SHUTDOWN },
        { provide: LOGGER, useValue: logger },
        { provide: AFTER, useValue: realAfter },
        { provide: SANDBOX_DRIVER, useFactory: () => openDriver(config, logger) },
        { provide: RunningCommands, useValue: new RunningCommands({ nodeMax: config.SANDBOX_COMMANDS_MAX, teamMax: config.SANDBOX_COMMANDS_TEAM_MAX }) },
        { provide: RunningTransfers, useValue: new RunningTransfers({ nodeMax: config.SANDBOX_TRANSFERS_MAX, teamMax: config.SANDBOX_TRANSFERS_TEAM_MAX }) },
        { provide: READINESS, inject: [DATABASE], useFactory: readiness },
        ...[AgentsStore, SandboxesStore, ThreadsStore, NodeSandboxesStore, NodeBoxes, ProvisionSandbox, RemoveSandboxes, HeldSandboxes, ReconcileNode, SandboxNode],
      ],
    };
  }
}
