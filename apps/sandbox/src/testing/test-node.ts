import { randomBytes } from 'node:crypto';
import { type Caller, CreateSandbox, DEFAULT_MODELS, modelNames, parseInput, PutAgent, type RpcCall, type RpcClient, unavailable, uuidV4, type vaultsRpc } from '@gatehouse/contracts';
import { type Database, openDatabase } from '@gatehouse/database';
import { createLogger } from '@gatehouse/platform';
import { parseKeyRing } from '@gatehouse/sealing';
import { testServices } from '@gatehouse/testing';
import { AgentsService } from '../agents/agents.service.js';
import { AgentsStore } from '../agents/agents.store.js';
import type { SandboxDriver } from '../drivers/sandbox.driver.js';
import type { Installation } from '../installation.js';
import { HeldSandboxes } from '../sandboxes/held-sandboxes.js';
import { NodeBoxes } from '../sandboxes/node-boxes.js';
import { NodeSandboxesStore } from '../sandboxes/node-sandboxes.store.js';
import { ProvisionSandbox } from '../sandboxes/provision-sandbox.js';
import { RunningCommands } from '../sandboxes/running-commands.js';
import { ReconcileNode } from '../sandboxes/reconcile-node.js';
import { RemoveSandboxes } from '../sandboxes/remove-sandboxes.js';
import type { After } from '../sandboxes/running-box.js';
import { SandboxesService } from '../sandboxes/sandboxes.service.js';
import { SandboxesStore } from '../sandboxes/sandboxes.store.js';
import { FakeDriver } from './fake-driver.js';

export const INSTALLATION: Installation = {
  models: modelNames(DEFAULT_MODELS),
  defaults: { cpuMillis: 1_000, memoryMB: 512, diskMB: 1_024 },
  maxima: { cpuCount: 4, memoryMB: 8_192, diskMB: 20_480 },
  pids: 256,
  template: 'host',
};

export const call: RpcCall = { signal: new AbortController().signal, deadline: Number.MAX_SAFE_INTEGER };

export const openTestDatabase = (): Database => openDatabase({ url: testServices().databaseUrl, applicationName: 'sandbox-spec' });

/** A key of a team of its own. */
export const makeCaller = (changes: Partial<Caller> = {}): Caller => ({ teamId: uuidV4(), keyId: uuidV4(), scopes: ['*'], userId: null, requestId: 'spec', ...changes });

/** An agent's definition as the edge would read it. */
export const definition = (slug: string, body: object = {}): PutAgent => parseInput(PutAgent, { slug, ...body });
export const request = (body: object): CreateSandbox => parseInput(CreateSandbox, body);

/** Timers that go off when a test says so. */
export class ManualTimers {
  private readonly pending = new Set<{ delayMs: number; work: () => void }>();

  readonly after: After = (delayMs, work) => {
    const timer = { delayMs, work };
    this.pending.add(timer);
    return () => this.pending.delete(timer);
  };

  get delays(): number[] {
    return [...this.pending].map(({ delayMs }) => delayMs);
  }

  goOff(): void {
    for (const timer of this.pending) {
      this.pending.delete(timer);
      timer.work();
    }
  }
}

export const testKeyRing = (): ReturnType<typeof parseKeyRing> => parseKeyRing(`test:${randomBytes(32).toString('base64')}`);

interface NodeOptions {
  readonly nodeId?: string;
  readonly keyRing?: ReturnType<typeof testKeyRing>;
  readonly vaults?: VaultsClient;
}

type VaultsClient = Pick<RpcClient<typeof vaultsRpc>, 'resolve'>;
const noVaults: VaultsClient = { resolve: () => Promise.reject(unavailable()) };

/** The services of one node around a driver, put together as the module does. */
export const assembleNode = <Driver extends SandboxDriver>(database: Database, driver: Driver, { nodeId = `node-${uuidV4()}`, keyRing = testKeyRing(), vaults = noVaults }: NodeOptions = {}) => {
  const timers = new ManualTimers();
  const logger = createLogger({ service: 'sandbox', instance: nodeId, level: 'fatal' });
  const agentsStore = new AgentsStore(database);
  const sandboxesStore = new SandboxesStore(database);
  const rows = new NodeSandboxesStore(database, nodeId);
  const boxes = new NodeBoxes(driver, rows, INSTALLATION, logger, timers.after);
  const removals = new RemoveSandboxes(boxes, rows, nodeId, logger);
  const provisioning = new ProvisionSandbox(agentsStore, sandboxesStore, rows, boxes, nodeId, keyRing, logger);
  const held = new HeldSandboxes(sandboxesStore, boxes, nodeId);
  const agents = new AgentsService(agentsStore, removals, keyRing, INSTALLATION, vaults);
  const sandboxes = new SandboxesService(agentsStore, sandboxesStore, rows, provisioning, held, removals, new RunningCommands({ nodeMax: 512, teamMax: 512 }), keyRing);
  const reconciling = new ReconcileNode(driver, boxes, rows, removals, logger);
  return { nodeId, keyRing, timers, driver, agentsStore, rows, boxes, provisioning, agents, sandboxes, reconciling };
};

/** A node whose boxes are only pretended. */
export const makeNode = (database: Database, { driver = new FakeDriver(), ...options }: NodeOptions & { readonly driver?: FakeDriver } = {}) => assembleNode(database, driver, options);
export type TestNode = ReturnType<typeof makeNode>;
