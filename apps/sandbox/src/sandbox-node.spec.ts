import { describe, expect, it, jest } from '@jest/globals';
import { ConfigError, createLogger } from '@gatehouse/platform';
import type { NodeBoxes } from './sandboxes/node-boxes.js';
import type { ReconcileNode } from './sandboxes/reconcile-node.js';
import type { RemoveSandboxes } from './sandboxes/remove-sandboxes.js';
import { SandboxNode } from './sandbox-node.js';
import { FakeDriver } from './testing/fake-driver.js';

const makeSandboxNode = (stopOnShutdown = false) => {
  const driver = new FakeDriver();
  const close = jest.fn<NodeBoxes['close']>(async () => undefined);
  const run = jest.fn(async () => undefined);
  const parts = [{ close } as unknown as NodeBoxes, { run } as unknown as ReconcileNode, {} as RemoveSandboxes] as const;
  const logger = createLogger({ service: 'sandbox', instance: 'spec', level: 'fatal' });
  const node = new SandboxNode(driver, ...parts, stopOnShutdown, logger);
  return { driver, close, run, node, logger };
};

describe('the life of a node', () => {
  it('does not begin where sandboxes would not be held, and says all that is missing', async () => {
    const { driver, run, node } = makeSandboxNode();
    driver.problems = ['runc is not installed: apt-get install runc', 'cgroups cannot be made'];
    const refusal = await node.onModuleInit().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ConfigError);
    expect((refusal as ConfigError).problems).toEqual(driver.problems.map(problem => `sandboxes cannot run on this node: ${problem}`));
    expect(run).not.toHaveBeenCalled();
  });

  it('warns of what an operator should know, and begins all the same', async () => {
    const { driver, node, logger } = makeSandboxNode();
    driver.warnings = ['runc 1.1.5 lacks fixes'];
    const warned = jest.spyOn(logger, 'warn');
    await node.onModuleInit();
    expect(warned).toHaveBeenCalledWith(expect.anything(), 'runc 1.1.5 lacks fixes');
    await node.onApplicationShutdown();
  });

  it('begins with a reconciliation, and lets the driver prepare sandboxes only after it', async () => {
    const { driver, run, node } = makeSandboxNode();
    const warmUp = jest.fn(() => expect(run).toHaveBeenCalledTimes(1));
    Object.assign(driver, { warmUp });
    await node.onModuleInit();
    expect(run).toHaveBeenCalledTimes(1);
    expect(warmUp).toHaveBeenCalledTimes(1);
    await node.onApplicationShutdown();
  });

  it.each([true, false])('ends its boxes only where it is told to: %s', async stopOnShutdown => {
    const { close, node } = makeSandboxNode(stopOnShutdown);
    await node.onModuleInit();
    await node.onApplicationShutdown();
    expect(close).toHaveBeenCalledWith({ stop: stopOnShutdown });
  });
});
