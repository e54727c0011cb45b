import { sandboxFilesConformance } from '../sandbox-files.conformance.js';
import { expectNothingLeft, makeLocalNode } from '../testing/local-node.js';
import type { LocalDriver } from './local.driver.js';

const node = makeLocalNode();
let driver: LocalDriver;

sandboxFilesConformance('the local driver', {
  open: async () => {
    driver = await node.open();
    await driver.reconcile();
    return driver;
  },
  directories: [node.options.dataDir, node.options.runDir],
  close: async () => {
    await driver.close();
    expectNothingLeft(node);
    node.remove();
  },
});
