import { describe, test } from '@jest/globals';
import { sandboxDriverConformance } from '../sandbox-driver.conformance.js';
import { DockerEngine } from '../testing/docker-engine.js';
import { type DockerNode, makeDockerNode } from '../testing/docker-node.js';
import type { DockerDriver } from './docker.driver.js';

const missing = DockerEngine.missingBecause();
if (missing) {
  describe('the docker driver', () => test.todo(`is tested where a Docker Engine can be started; here ${missing}`));
} else {
  let engine: DockerEngine;
  let image = '';
  let node: DockerNode;
  let driver: DockerDriver;
  sandboxDriverConformance('the docker driver', {
    open: async () => {
      engine = await DockerEngine.start({ remap: true });
      image = await engine.importDebian();
      node = makeDockerNode(engine, image);
      driver = await node.open();
      await driver.reconcile();
      return driver;
    },
    template: () => image,
    directories: [],
    close: async () => {
      await driver?.close();
      await node?.remove();
      await engine?.stop();
    },
  });
}
