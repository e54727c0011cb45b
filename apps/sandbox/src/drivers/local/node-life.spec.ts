import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ExitReason, SandboxHandle, SandboxSpec } from '../sandbox.driver.js';
import { compileDriver, DriverProcess } from '../testing/driver-process.js';
import { expectNothingLeft, makeLocalNode, type LocalNode } from '../testing/local-node.js';
import { cgroupVersion } from './cgroups.js';
import { killAndWait, identify } from './host-process.js';
import type { LocalDriver } from './local.driver.js';
import type { ResolvedOptions } from './options.js';
import { probeHost } from './probe.js';
import { TOOL_ENV } from './run-tool.js';

const MIB = 1024 * 1024;
const KILL_ROUNDS = 12;
/** The first are before the nth change of a file, the others after so many turns of the event loop. */
const CLAIM_KILLS = { atChanges: 24, atTurns: 16 };

function spec(sandboxId: string, generation = 1): SandboxSpec {
  return { sandboxId, generation, template: 'host', limits: { memoryBytes: 256 * MIB, cpuMillis: 1000, pids: 160, diskBytes: 64 * MIB }, env: {} };
}

describe('a node of the local driver', () => {
  let compiled: string;
  let node: LocalNode;
  const opened: LocalDriver[] = [];
  const processes: DriverProcess[] = [];

  const open = async (changes?: Parameters<LocalNode['open']>[0]) => {
    const driver = await node.open(changes);
    opened.push(driver);
    return driver;
  };
  const startProcess = async (script: string) => {
    const started = await DriverProcess.start(compiled, node.options, script);
    processes.push(started.process);
    return started;
  };
  /** Ends what a driver still holds and asserts that nothing is left of its node. */
  const clear = async (driver: LocalDriver) => {
    for await (const ref of driver.list()) await (await driver.attach(ref))?.destroy();
    await driver.close();
    expectNothingLeft(node);
  };

  beforeAll(() => {
    compiled = mkdtempSync(join(tmpdir(), 'gatehouse-driver-'));
    compileDriver(compiled);
  });

  afterAll(() => rmSync(compiled, { recursive: true }));

  beforeEach(() => {
    node = makeLocalNode();
  });

  afterEach(async () => {
    await Promise.all(processes.splice(0).map(process => process.crash()));
    await Promise.all(opened.splice(0).map(driver => driver.close()));
    const last = await node.open();
    await last.reconcile();
    await clear(last);
    node.remove();
  }, 30_000);

  test('has one driver at a time', async () => {
    const first = await open();
    await expect(node.open()).rejects.toMatchObject({ name: 'DriverError', kind: 'unavailable' });
    await first.close();
    await (await open()).close();
  });

  test('keeps its sandboxes over a crash of the service, and the next driver follows their commands without losing a byte', async () => {
    const { process, said } = await startProcess(`
      const box = await driver.create({ sandboxId: 'a', generation: 7, template: 'host', limits: LIMITS, env: {} });
      const other = await driver.create({ sandboxId: 'b', generation: 1, template: 'host', limits: LIMITS, env: {} });
      const kept = await box.spawn({ run: { command: 'for i in $(seq 1 300); do echo $i; sleep 0.005; done' }, keep: { id: 'run' } });
      await box.spawn({ run: { command: 'sleep 987' } });
      kept.stdout.once('data', first => { kept.stdout.pause(); say(JSON.stringify({ ref: box.ref, first: first.toString() })); });
    `);
    const { ref, first } = JSON.parse((await said.next()).value as string) as { ref: { sandboxId: string; generation: number; slot: string }; first: string };
    await process.crash();

    const driver = await open();
    const report = await driver.reconcile();
    expect(report.swept).toEqual([expect.any(String)]); // what was prepared ahead of the next start
    expect(report.adopted.map(({ sandboxId }) => sandboxId).sort()).toEqual(['a', 'b']);
    const box = await driver.attach(ref);
    if (!box) throw new Error('the sandbox was not adopted');
    const run = await box.attach('run', { stdout: first.length, stderr: 0 });
    const errors = text(run.stderr);
    expect(first + (await text(run.stdout))).toBe(Array.from({ length: 300 }, (_, index) => `${index + 1}\n`).join(''));
    expect([await errors, (await run.exit).code]).toEqual(['', 0]);
    await eventually(async () => expect((await box.processes()).map(({ id }) => id)).toEqual(['run'])); // the sleep had nobody left
    expect(await driver.create({ ...spec('a'), generation: 7 })).toBe(box);
  }, 30_000);

  test('is clean after kills at any moment of a start', async () => {
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const { process, said } = await startProcess(`
        say('starting');
        for (const name of ['a', 'b', 'c']) driver.create({ sandboxId: name + ${round}, generation: 1, template: 'host', limits: LIMITS, env: {} }).catch(() => undefined);
      `);
      await said.next();
      // Spread over the whole of a start: the moment is the subject of the test, not a synchroniser.
      await new Promise(resolve => setTimeout(resolve, (round * 250) / KILL_ROUNDS));
      await process.crash();
      const driver = await open();
      await driver.reconcile();
      await clear(driver);
    }
  }, 90_000);

  test('has each sandbox whole or not at all after kills at any moment of a claim', async () => {
    const limits = { memoryBytes: 192 * MIB, cpuMillis: 500, pids: 160, diskBytes: 64 * MIB };
    const pool = { size: 2, memoryBytes: 256 * MIB, first: { template: 'host', limits: spec('any').limits } };
    const claims = (kill: string) => `
      const { readdirSync, readFileSync } = await import('node:fs');
      const changes = (await import('node:fs/promises')).default;
      const { syncBuiltinESMExports } = await import('node:module');
      const boxes = ${JSON.stringify(join(node.options.runDir, 'boxes'))};
      const metaOf = slot => { try { return JSON.parse(readFileSync(boxes + '/' + slot + '/meta.json', 'utf8')); } catch { return {}; } };
      driver.warmUp();
      while (readdirSync(boxes).filter(slot => metaOf(slot).pid).length < 2) await new Promise(resolve => setTimeout(resolve, 5));
      await new Promise(resolve => setImmediate(resolve));
      const die = () => process.kill(process.pid, 'SIGKILL');
      ${kill}
      for (const sandboxId of ['a', 'b', 'c']) driver.create({ sandboxId, generation: 7, template: 'host', limits: ${JSON.stringify(limits)}, env: { WHO: sandboxId } }).catch(() => undefined);
    `;
    const beforeChange = (count: number) => `
      let left = ${count};
      for (const name of ['writeFile', 'rename']) {
        const change = changes[name];
        changes[name] = (...args) => { if (left-- === 0) die(); return change(...args); };
      }
      syncBuiltinESMExports();
    `;
    const afterTurns = (count: number) => `
      let left = ${count};
      const turn = () => { if (left-- === 0) die(); setImmediate(turn); };
      turn();
    `;
    const kills = [...Array.from({ length: CLAIM_KILLS.atChanges }, (_, index) => beforeChange(index)), ...Array.from({ length: CLAIM_KILLS.atTurns }, (_, index) => afterTurns(index * 4))];
    const disks = () => readdirSync(join(node.options.dataDir, 'disks')).filter(name => !name.startsWith('blank-')).sort();
    const survivors: number[] = [];
    for (const kill of kills) {
      const started = await DriverProcess.start(compiled, { ...node.options, pool }, claims(kill));
      processes.push(started.process);
      expect(await started.said.next()).toMatchObject({ done: true });
      await started.process.crash(); // it has ended by itself

      const driver = await open();
      await driver.reconcile();
      let alive = 0;
      for await (const ref of driver.list()) {
        const box = await driver.attach(ref);
        expect([ref.generation, ref.state, disks().includes(`${ref.sandboxId}.img`)]).toEqual([7, 'running', true]);
        expect((await box?.exec({ command: 'echo $WHO; ls -A' }))?.stdout.toString()).toBe(`${ref.sandboxId}\nworkspace\n`);
        const [file, own] = cgroupVersion === 2 ? ['memory.max', 64 * MIB] : ['memory/memory.limit_in_bytes', 0];
        const [controller, name = ''] = cgroupVersion === 2 ? ['', file] : file.split('/');
        expect(Number(readFileSync(join('/sys/fs/cgroup', controller ?? '', 'gatehouse', node.options.nodeId, ref.slot, name), 'latin1'))).toBe(limits.memoryBytes + own);
        alive++;
      }
      survivors.push(alive);
      await clear(driver);
      const next = await open(); // one that knows nothing of what was
      for (const sandboxId of ['a', 'b', 'c']) await next.removeDisk(sandboxId);
      await clear(next);
      expect(disks()).toEqual([]);
    }
    // Else the kills would have missed the claims.
    expect(survivors).toEqual(expect.arrayContaining([0, 1, 2]));
  }, 240_000);

  test('sweeps sandboxes whose agent is gone, and what no file mentions', async () => {
    const { process, said } = await startProcess(`
      for (const sandboxId of ['dead', 'forgotten']) await driver.create({ sandboxId, generation: 1, template: 'host', limits: LIMITS, env: {} });
      const refs = []; for await (const ref of driver.list()) refs.push(ref);
      say(JSON.stringify(refs));
    `);
    const [dead, forgotten] = JSON.parse((await said.next()).value as string) as { slot: string }[];
    await process.crash();
    const metaOf = (slot?: string) => join(node.options.runDir, 'boxes', slot ?? '', 'meta.json');
    const { pid } = JSON.parse(readFileSync(metaOf(dead?.slot), 'utf8')) as { pid: number };
    const init = await identify(pid);
    if (init) await killAndWait(init, 5_000);
    rmSync(metaOf(forgotten?.slot));
    const driver = await open();
    const report = await driver.reconcile();
    expect(report.adopted).toEqual([]);
    expect(report.swept).toEqual(expect.arrayContaining([dead?.slot, forgotten?.slot]));
    expect(report.swept).toHaveLength(3); // and what was prepared ahead of the next start
    expectNothingLeft(node);
  }, 30_000);

  describe('with a sandbox that cannot be cleared away', () => {
    const refusal = { name: 'DriverError', kind: 'unavailable' };
    /** The mount point of a disk is removed only when it is empty. */
    const obstruct = (box: SandboxHandle) => {
      const obstacle = join(node.options.runDir, 'boxes', box.ref.slot, 'disk/obstacle');
      writeFileSync(obstacle, '');
      return { remove: () => rmSync(obstacle) };
    };
    const startAgain = async (driver: LocalDriver) => {
      const again = await driver.create(spec('stuck', 2));
      expect((await again.exec({ command: 'cat kept' })).stdout.toString()).toBe('still here');
      await clear(driver);
    };

    test('starts nothing on its home before a later reconciliation has cleared it', async () => {
      const driver = await open();
      const box = await driver.create(spec('stuck'));
      await box.files.write('kept', Buffer.from('still here'));
      const obstacle = obstruct(box);
      await expect(box.stop()).rejects.toMatchObject({ kind: 'failed' });
      expect(await driver.reconcile()).toEqual({ adopted: [], swept: [] });
      await expect(driver.create(spec('stuck', 2))).rejects.toMatchObject(refusal);
      await expect(driver.removeDisk('stuck')).rejects.toMatchObject(refusal);
      obstacle.remove();
      expect(await driver.reconcile()).toEqual({ adopted: [], swept: [box.ref.slot] });
      await startAgain(driver);
    }, 20_000);

    test('opens all the same, and adopts the others', async () => {
      const first = await open();
      const [box] = await Promise.all([first.create(spec('stuck')), first.create(spec('well'))]);
      await box.files.write('kept', Buffer.from('still here'));
      const obstacle = obstruct(box);
      await expect(box.stop()).rejects.toMatchObject({ kind: 'failed' });
      await first.close();
      const driver = await open();
      expect(await driver.reconcile()).toMatchObject({ adopted: [{ sandboxId: 'well' }], swept: [] });
      expect(node.log.lines.join('\n')).toContain('error a sandbox could not be cleared away; it will be tried again');
      await expect(driver.create(spec('stuck', 2))).rejects.toMatchObject(refusal);
      obstacle.remove();
      expect(await driver.reconcile()).toEqual({ adopted: [], swept: [box.ref.slot] });
      await startAgain(driver);
    }, 20_000);
  });

  test('repairs the disks a crash of the machine left dirty', async () => {
    const first = await open();
    if (!(await first.probe()).features.has('disk-quota')) return;
    const box = await first.create(spec('dirty'));
    await box.files.write('kept', Buffer.from('still here'));
    await box.stop();
    await first.close();
    const disk = (kind: string) => join(node.options.dataDir, 'disks', `dirty.${kind}`);
    const meta = JSON.parse(readFileSync(disk('json'), 'utf8')) as object;
    writeFileSync(disk('json'), JSON.stringify({ ...meta, bootId: 'of an earlier boot' }));
    execFileSync('debugfs', ['-w', '-R', 'set_inode_field <2> links_count 9', disk('img')], { env: TOOL_ENV, stdio: 'ignore' });
    expect(spawnSync('e2fsck', ['-f', '-n', disk('img')], { env: TOOL_ENV }).status).toBe(4); // errors, left as they are

    const driver = await open();
    const again = await driver.create(spec('dirty', 2));
    expect((await again.exec({ command: 'cat kept' })).stdout.toString()).toBe('still here');
    await clear(driver);
  }, 20_000);

  test('has one start prepared ahead, of the size last asked for, which ends with the service however that ends', async () => {
    const driver = await open();
    await driver.create(spec('small'));
    await eventually(() => expect(node.leftovers().loopDevices).toHaveLength(2));
    const large = { ...spec('large'), limits: { ...spec('large').limits, diskBytes: 128 * MIB } };
    await driver.create(large);
    await eventually(() => expect(node.leftovers()).toMatchObject({ boxes: { length: 3 }, loopDevices: { length: 3 } }));
    const disks = () => readdirSync(join(node.options.dataDir, 'disks')).filter(name => name.includes('.new.'));
    await eventually(() => expect(disks()).toHaveLength(1));
    // The one that lies ready is taken: it is mounted already, and its disk gets the name of its sandbox.
    const [ready = ''] = disks();
    const next = await driver.create({ ...large, sandboxId: 'next' });
    expect(next.ref.slot).toBe(ready.split('.')[0]);
    expect((await next.exec({ command: 'df --output=size -B 1M ~ | tail -1' })).stdout.toString().trim()).toMatch(/^1[12]\d$/);
    await next.destroy();
    await clear(driver);
    expect(disks()).toEqual([]);

    const { process, said } = await startProcess(`await driver.create({ sandboxId: 'a', generation: 1, template: 'host', limits: LIMITS, env: {} }); say('made');`);
    await said.next();
    await process.crash();
    // Nobody gives it the word any more; it goes by itself, before any reconciliation.
    await eventually(() => expect(node.leftovers().loopDevices).toHaveLength(1));
  }, 30_000);

  test('tells why a sandbox ended', async () => {
    const driver = await open();
    const box = await driver.create(spec('killed'));
    const exited = new Promise<ExitReason>(resolve => box.onExit(resolve));
    const running = box.exec({ command: 'sleep 987' });
    const meta = JSON.parse(readFileSync(join(node.options.runDir, 'boxes', box.ref.slot, 'meta.json'), 'utf8')) as { pid: number; startTicks: string };
    await killAndWait(meta, 5_000);
    await expect(running).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await exited).toBe('crashed');
    expect(await driver.attach(box.ref)).toBeNull();
    await driver.close();
    expectNothingLeft(node);
  }, 20_000);

  test('starts no more than it may, and refuses the rest', async () => {
    const driver = await open({ maxSandboxes: 2, maxStartsInFlight: 1 });
    const results = await Promise.allSettled(['a', 'b', 'c'].map(name => driver.create(spec(name))));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(results[2]).toMatchObject({ reason: { kind: 'no-capacity' } });
    await clear(driver);
  }, 20_000);

  test('gives every sandbox host ids of its own and keeps them with its disk', async () => {
    const driver = await open();
    for (const name of ['a', 'b']) await driver.create(spec(name));
    const uidsOf = () => readdirSync(join(node.options.dataDir, 'disks')).filter(file => file.endsWith('.json')).sort().map(file => (JSON.parse(readFileSync(join(node.options.dataDir, 'disks', file), 'utf8')) as { uidBase: number }).uidBase);
    const base = node.options.uidBase ?? 0;
    expect(uidsOf().sort()).toEqual([base, base + 65_536]);
    const before = uidsOf();
    await driver.create(spec('a', 2));
    expect(uidsOf()).toEqual(before);
    await clear(driver);
  }, 20_000);

  test('gives its sandboxes nothing of the host as their input and output: a runtime may hand that over to their root', async () => {
    const driver = await open();
    await driver.create(spec('a'));
    const [slot = ''] = readdirSync(join(node.options.runDir, 'boxes')).filter(name => existsSync(join(node.options.runDir, 'boxes', name, 'pid')));
    const pid = readFileSync(join(node.options.runDir, 'boxes', slot, 'pid'), 'latin1');
    expect([0, 1, 2].map(fd => readlinkSync(`/proc/${pid}/fd/${fd}`))).toEqual(Array(3).fill(expect.stringMatching(/^(pipe|socket):/)));
    await clear(driver);
  }, 20_000);

  describe('whose agent is a liar', () => {
    const upgraded = 'HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: gatehouse-exec/1\\r\\n\\r\\n';
    /** An agent that behaves until it is asked for a process, and then does `lie`. */
    const liar = (lie: string) => `
      const fs = require('node:fs');
      const server = require('node:http').createServer((request, response) => {
        if (globalThis.silent) return;
        if (request.url === '/v1/attend') return response.writeHead(200).flushHeaders();
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
      const flood = (socket, chunk) => { while (!socket.destroyed && socket.write(chunk)); socket.once('drain', () => flood(socket, chunk)); };
      server.on('upgrade', (request, socket) => { socket.on('error', () => undefined); ${lie} });
      server.listen(process.env.GATEHOUSE_AGENT_SOCKET, () => { fs.writeSync(3, 'r'); fs.closeSync(3); });
    `;

    test.each([
      ['endless headers', `flood(socket, 'x: y\\r\\n'.repeat(1000));`, 'unavailable'],
      ['a 4 GiB frame', `socket.write('${upgraded}'); socket.write(Buffer.from([0x20, 255, 255, 255, 255]));`, 'unavailable'],
      ['wrong JSON', `socket.write('${upgraded}'); socket.write(Buffer.from([0x02, 0, 0, 0, 1, 0x7b]));`, 'unavailable'],
      ['silence', `globalThis.silent = true;`, 'timed-out'],
    ])('%s ends the sandbox and not the service', async (_name, lie, kind) => {
      const agentDir = join(compiled, 'liar');
      mkdirSync(agentDir, { recursive: true });
      writeFileSync(join(agentDir, 'agent.cjs'), liar(lie));
      const driver = await open({ agentDir, agentTimeoutMs: 500 });
      const box = await driver.create(spec('liar'));
      const exited = new Promise<ExitReason>(resolve => box.onExit(resolve));
      const before = process.memoryUsage().rss;
      await expect(box.exec({ command: 'true' })).rejects.toMatchObject({ name: 'DriverError', kind });
      expect(await exited).toBe('lost');
      expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB);
      await driver.close();
      expectNothingLeft(node);
    }, 20_000);

    test('an agent that never gets ready is cleared away at the deadline', async () => {
      const agentDir = join(compiled, 'sleeper');
      mkdirSync(agentDir, { recursive: true });
      writeFileSync(join(agentDir, 'agent.cjs'), 'setInterval(() => undefined, 1000);');
      const driver = await open({ agentDir, startTimeoutMs: 1_000 });
      await expect(driver.create(spec('sleeper'))).rejects.toMatchObject({ kind: 'timed-out' });
      await driver.close();
      expectNothingLeft(node);
    }, 20_000);

    test('an agent that ends at once is a failed start', async () => {
      const agentDir = join(compiled, 'quitter');
      mkdirSync(agentDir, { recursive: true });
      writeFileSync(join(agentDir, 'agent.cjs'), 'process.exit(3);');
      const driver = await open({ agentDir });
      await expect(driver.create(spec('quitter'))).rejects.toMatchObject({ kind: 'failed' });
      await driver.close();
      expectNothingLeft(node);
    }, 20_000);
  });

  describe('with a part missing', () => {
    test.each([
      ['runtimePath', '/no/runc', 'apt-get install runc'],
      ['initPath', '/no/tini', 'apt-get install tini'],
      ['agentDir', '/no/agent', 'npm run build'],
    ])('says so and how to mend it: %s', async (option, path, mend) => {
      const driver = await open({ [option]: path });
      const report = await driver.probe();
      expect(report.ok).toBe(false);
      expect(report.problems.join()).toContain(mend);
    });

    test.each([
      [true, [expect.stringContaining('modprobe loop')]],
      [false, []],
    ])('a node whose disks have no quota is refused only where one is required: %s', async (requireQuota, problems) => {
      await (await open()).close(); // makes the directories
      const trial = async () => ({ exec: async () => ({ exitCode: 42 }), destroy: async () => undefined }) as unknown as SandboxHandle;
      const report = await probeHost({ ...node.options, nodePath: process.execPath, template: 'host', requireQuota } as ResolvedOptions, false, { problems: async () => [] }, trial);
      expect(report).toMatchObject({ ok: !requireQuota, problems });
    });

    test('a runtime that does nothing is not ok', async () => {
      const driver = await open({ runtimePath: '/bin/false' });
      const report = await driver.probe();
      expect(report.ok).toBe(false);
      expect(report.problems).toHaveLength(1);
    });
  });
});
