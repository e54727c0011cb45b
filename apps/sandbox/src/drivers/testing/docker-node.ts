import { expect } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DockerDriver } from '../docker/docker.driver.js';
import type { DockerDriverOptions } from '../docker/options.js';
import type { DriverLogger } from '../driver-logger.js';
import type { DockerEngine } from './docker-engine.js';
import { compiledAgent, findRuntime, memoryLog } from './local-node.js';

/** A node of its own on a Docker Engine. */
export interface DockerNode {
  options: DockerDriverOptions;
  log: DriverLogger & { lines: string[] };
  open(changes?: Partial<DockerDriverOptions>): Promise<DockerDriver>;
  /** Asserts that no container and no directory of a box is left, and removes the rest. */
  remove(): Promise<void>;
}

export function makeDockerNode(engine: DockerEngine, image: string): DockerNode {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-docker-node-'));
  chmodSync(directory, 0o711); // the sandboxes' ids have to pass
  const options: DockerDriverOptions = {
    nodeId: `test-${randomBytes(6).toString('hex')}`,
    socketPath: engine.socketPath,
    dataDir: join(directory, 'data'),
    runDir: join(directory, 'run'),
    runtime: 'runc',
    initPath: findRuntime().init,
    agentDir: compiledAgent(),
    image,
  };
  const log = memoryLog();
  return {
    options,
    log,
    open: changes => DockerDriver.open({ ...options, ...changes }, log),
    remove: async () => {
      const boxes = join(options.runDir, 'boxes');
      await eventually(async () => expect([await engine.containers(), existsSync(boxes) ? readdirSync(boxes) : []]).toEqual([[], []]));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
