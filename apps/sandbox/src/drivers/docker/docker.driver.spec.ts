import { describe, test } from '@jest/globals';
import { type ConformanceSubject, sandboxDriverConformance } from '../sandbox-driver.conformance.js';
import { sandboxFilesConformance } from '../sandbox-files.conformance.js';
import { DockerEngine } from '../testing/docker-engine.js';
import { type DockerNode, makeDockerNode } from '../testing/docker-node.js';
import type { DockerDriver } from './docker.driver.js';

/** With user ids of its own, as in production. */
function onAnEngine(): ConformanceSubject {
  let engine: DockerEngine | undefined;
  let image = '';
  let node: DockerNode | undefined;
  let driver: DockerDriver | undefined;
  return {
    open: async () => {
      engine = await DockerEngine.start({ remap: true });
      image = await engine.importDebian();
      node = makeDockerNode(engine, image);
      driver = await node.open();
      await driver.reconcile();
      return driver;
    },
    template: () => image,
    get directories() {
      return node ? [node.options.dataDir, node.options.runDir] : [];
    },
    close: async () => {
      await driver?.close();
      await node?.remove();
      await engine?.stop();
    },
  };
}

const missing = DockerEngine.missingBecause();
if (missing) {
  describe('the docker driver', () => test.todo(`is tested where a Docker Engine can be started; here ${missing}`));
} else {
  sandboxDriverConformance('the docker driver', onAnEngine());
  sandboxFilesConformance('the docker driver', onAnEngine());
}
