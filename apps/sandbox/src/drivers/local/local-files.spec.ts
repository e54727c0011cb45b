import { describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
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

/** As from a service that is killed: nobody says goodbye. */
describe('a connection to the agent that breaks off', () => {
  const MIB = 1024 * 1024;

  test('in the middle of content leaves no part of a file and no open descriptor', async () => {
    const node = makeLocalNode();
    const driver = await node.open();
    try {
      await driver.reconcile();
      const box = await driver.create({ sandboxId: 'a', generation: 1, template: 'host', limits: { memoryBytes: 256 * MIB, cpuMillis: 1000, pids: 160, diskBytes: 64 * MIB }, env: {} });
      const names = async () => (await box.files.list('/home/user', { depth: 1, maxEntries: 100 })).entries.map(({ name }) => name);
      const dial = async (request: string): Promise<Socket> => {
        const socket = connect(join(node.options.runDir, 'boxes', box.ref.slot, 'agent/agent.sock'));
        await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
        socket.write(request);
        return socket;
      };
      for (const [head, body] of [['transfer-encoding: chunked', `100000\r\n${'x'.repeat(500_000)}`], ['content-length: 1048576', 'x'.repeat(500_000)]] as const) {
        const socket = await dial(`PUT /v1/files/content?path=/home/user/half HTTP/1.1\r\nhost: agent\r\n${head}\r\n\r\n${body}`);
        await eventually(async () => expect(await names()).toHaveLength(2));
        socket.destroy();
        await eventually(async () => expect(await names()).toEqual(['workspace']));
      }
      await box.files.write('large', Buffer.alloc(16 * MIB));
      const reading = await dial('GET /v1/files/content?path=/home/user/large HTTP/1.1\r\nhost: agent\r\n\r\n');
      await new Promise(resolve => reading.once('readable', resolve));
      reading.destroy();
      await box.files.remove('large');
      // What is still open keeps its blocks.
      await eventually(async () => expect(Number((await box.exec({ command: 'df --output=used -B1 . | tail -1' })).stdout.toString())).toBeLessThan(8 * MIB));
      await box.destroy();
    } finally {
      await driver.close();
      expectNothingLeft(node);
      node.remove();
    }
  }, 30_000);
});
