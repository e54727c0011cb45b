import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ExecResult, ExitReason, SandboxDriver, SandboxHandle, SandboxLimits } from './sandbox.driver.js';
import * as attacks from './testing/attacks.js';

const MIB = 1024 * 1024;
const LIMITS: SandboxLimits = { memoryBytes: 256 * MIB, cpuMillis: 1000, pids: 160, diskBytes: 64 * MIB };
const EPERM = 1;
const ENOENT = 2;
const ESRCH = 3;
const EACCES = 13;
const EMFILE = 24;
const ETXTBSY = 26;
const ENOSPC = 28;
const EROFS = 30;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;
const ECONNREFUSED = 111;
const REFUSED = [EPERM, EACCES, EROFS, ENOENT].map(String);

/** In the environment of the service, and nowhere else: a sandbox that shows it has seen the service. */
const CANARY = 'GATEHOUSE_TEST_CANARY';
const CANARY_VALUE = 'the-service-knows-this-and-no-sandbox-may';

/** The driver under test, on a node of its own. */
export interface ConformanceSubject {
  open(): Promise<SandboxDriver>;
  /** Asked for after `open`. Default `host`. */
  template?(): string;
  /** Directories of the service that no sandbox may see. */
  directories: string[];
  /** Asserts that nothing is left once every sandbox was destroyed, and frees the node. */
  close(): Promise<void>;
}

/**
 * What every driver has to hold. A is attacked; its neighbour B is asked after each test and must answer, with its file
 * intact. Where a driver lacks a feature, `probe` has to say so.
 */
export function sandboxDriverConformance(name: string, subject: ConformanceSubject): void {
  describe(name, () => {
    let driver: SandboxDriver;
    let a: SandboxHandle;
    let b: SandboxHandle;
    let features: ReadonlySet<string>;
    let made = 0;

    const start = (limits: Partial<SandboxLimits> = {}, sandboxId = `box-${++made}`, generation = 1) =>
      driver.create({ sandboxId, generation, template: subject.template?.() ?? 'host', limits: { ...LIMITS, ...limits }, env: { FROM_AGENT: 'yes' } });

    const idleDisks = async (): Promise<string[]> => {
      const ids: string[] = [];
      for await (const sandboxId of driver.idleDisks()) ids.push(sandboxId);
      return ids;
    };

    /** A sandbox of its own for a test that may ruin it. */
    const withBox = async (test: (box: SandboxHandle) => Promise<void>, limits?: Partial<SandboxLimits>) => {
      const box = await start(limits);
      try {
        await test(box);
      } finally {
        await box.destroy();
      }
    };

    beforeAll(async () => {
      process.env[CANARY] = CANARY_VALUE;
      driver = await subject.open();
      const report = await driver.probe();
      expect(report.problems).toEqual([]);
      expect(report.ok).toBe(true);
      features = report.features;
      [a, b] = await Promise.all([start({}, 'a'), start({}, 'b')]);
      await b.files.write('mine', Buffer.from('of B'));
    }, 60_000);

    afterEach(async () => {
      const { stdout, exitCode } = await b.exec({ command: 'cat mine', timeoutMs: 5_000 });
      expect([out({ stdout }), exitCode]).toEqual(['of B', 0]);
    });

    afterAll(async () => {
      delete process.env[CANARY];
      await Promise.all([a?.destroy(), b?.destroy()]);
      await subject.close();
    }, 60_000);

    describe('commands', () => {
      test('give their output, exit code and signal', async () => {
        expect(outcome(await a.exec({ command: 'echo out; echo err >&2; exit 7' }))).toEqual({ stdout: 'out\n', stderr: 'err\n', exitCode: 7, signal: null, timedOut: false, truncated: false });
        expect(await a.exec({ command: 'kill -TERM $$' })).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
        expect(await a.exec({ command: 'no-such-program' })).toMatchObject({ exitCode: 127 });
      });

      test('start at home as an ordinary user, with the environment of the agent and their own', async () => {
        const { stdout } = await a.exec({ command: 'id -u; id -g; id -G; pwd; echo $FROM_AGENT $OWN $HOME', env: { OWN: 'mine' } });
        expect(out({ stdout }).split('\n').slice(0, -1)).toEqual(['1000', '1000', '1000', '/home/user', 'yes mine /home/user']);
      });

      test('find a new home empty but for a working directory of their own', () =>
        withBox(async box => {
          expect(out(await box.exec({ command: 'ls -A; ls -A workspace; touch workspace/mine && stat -c %U workspace/mine' }))).toBe('workspace\nuser\n');
        }));

      test('may name a directory, and a missing one is told apart from a missing program', async () => {
        await a.files.mkdir('deep/er');
        expect(out(await a.exec({ command: 'pwd', cwd: 'deep/er' }))).toBe('/home/user/deep/er\n');
        expect(out(await a.exec({ command: 'pwd', cwd: '/tmp' }))).toBe('/tmp\n');
        expect(out(await a.exec({ command: 'pwd' }))).toBe('/home/user\n');
        await expect(a.exec({ command: 'true', cwd: '/home/user/missing' })).rejects.toMatchObject({ name: 'DriverError', kind: 'bad-cwd' });
        await expect(a.exec({ command: 'true', cwd: '/root/../etc/passwd' })).rejects.toMatchObject({ kind: 'bad-cwd' });
      });

      test('find descriptors 0, 1 and 2 open and nothing else, and may open their output by name', async () => {
        expect(out(await a.exec({ command: attacks.openDescriptors }))).toBe('0 1 2');
        expect(outcome(await a.exec({ command: 'echo out > /dev/stdout; echo err > /dev/stderr' }))).toMatchObject({ stdout: 'out\n', stderr: 'err\n' });
      });

      test.each([119, 121, 400])('may be %d KiB long', async kibibytes => {
        const padding = 'x'.repeat(kibibytes * 1024);
        const { stdout, exitCode } = await a.exec({ command: `echo begin; : ${padding}; (${attacks.openDescriptors}); exit 3` });
        expect([out({ stdout }), exitCode]).toEqual(['begin\n0 1 2', 3]);
      });

      test('take an environment of 3 MB, and one that is too large fails without hurting anyone', async () => {
        const env = (megabytes: number) => Object.fromEntries(Array.from({ length: megabytes * 10 }, (_, index) => [`V${index}`, 'x'.repeat(100_000)]));
        expect(out(await a.exec({ command: 'echo ${#V29}', env: env(3) }))).toBe('100000\n');
        for (const tooLarge of [7, 10]) await expect(a.exec({ command: 'true', env: env(tooLarge) })).rejects.toMatchObject({ kind: 'failed', message: 'The command and its environment are too large' });
      });

      test('may read from stdin', async () => {
        const process = await a.spawn({ run: { argv: ['sort'] }, stdin: true });
        process.stdin.end('b\na\n');
        expect(await text(process.stdout)).toBe('a\nb\n');
        expect(await process.exit).toMatchObject({ code: 0 });
      });

      test('receive signals', async () => {
        const process = await a.spawn({ run: { command: 'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.01; done' } });
        const lines = process.stdout[Symbol.asyncIterator]();
        expect(String((await lines.next()).value)).toBe('ready\n');
        process.signal('SIGINT');
        expect(String((await lines.next()).value)).toBe('caught\n');
        expect(await process.exit).toMatchObject({ code: 5, signal: null });
      });

      test('end with their main process, whoever still holds the output', async () => {
        const begun = performance.now();
        expect(out(await a.exec({ command: 'sleep 60 & echo done' }))).toBe('done\n');
        expect(performance.now() - begun).toBeLessThan(5_000);
        await a.killAll();
      });

      test('run by the dozen at once', async () => {
        const results = await Promise.all(Array.from({ length: 30 }, (_, index) => a.exec({ command: `echo ${index}` })));
        expect(results.map(out)).toEqual(Array.from({ length: 30 }, (_, index) => `${index}\n`));
      });

      test('run by the hundred at once, and one too many is told to come back', () =>
        withBox(async box => {
          const nap = (index: number) => box.exec({ command: `echo ${index}; exec sleep 0.2` });
          const results = await Promise.all(Array.from({ length: 200 }, (_, index) => nap(index)));
          expect(results.map(out)).toEqual(Array.from({ length: 200 }, (_, index) => `${index}\n`));
          const started = await Promise.allSettled(Array.from({ length: 300 }, () => box.spawn({ run: { command: 'exec sleep 987' } })));
          const refused = started.filter(({ status }) => status === 'rejected');
          expect(refused).toEqual(refused.map(() => expect.objectContaining({ reason: expect.objectContaining({ name: 'DriverError', kind: 'unavailable' }) })));
          expect([refused.length > 0, refused.length <= 100]).toEqual([true, true]);
          await box.killAll();
          await eventually(async () => expect(out(await nap(0))).toBe('0\n'));
        }, { pids: 640, memoryBytes: 1024 * MIB, cpuMillis: 4_000 }), 60_000);

      test('end when the caller gives up', async () => {
        const caller = new AbortController();
        const running = a.exec({ command: 'sleep 987', signal: caller.signal });
        await eventually(async () => expect(await a.processes()).not.toEqual([]));
        caller.abort(new Error('the caller left'));
        await expect(running).rejects.toThrow('the caller left');
        await eventually(async () => expect(await a.processes()).toEqual([]));
      });
    });

    describe('time, output and processes', () => {
      test('a command over its time is gone with its whole tree', async () => {
        const stubborn = 'trap "" TERM INT; setsid sleep 987 & (sleep 987 &) ; sleep 987 & while :; do sleep 987; done';
        const begun = performance.now();
        expect(await a.exec({ command: stubborn, timeoutMs: 1_000 })).toMatchObject({ timedOut: true, signal: 'SIGKILL', exitCode: 137 });
        expect(performance.now() - begun).toBeLessThan(3_000);
        expect(out(await a.exec({ command: countProcesses('sleep') }))).toBe('0\n');
      });

      test('a command that hid from its tree is gone when it was alone', async () => {
        const hiding = `perl -e ${attacks.quote('use POSIX "setsid"; unless (fork) { setsid; unless (fork) { exec "env", "-i", "/usr/bin/sleep", "987" } exit } wait; sleep 987')}`;
        expect(await a.exec({ command: hiding, timeoutMs: 1_000 })).toMatchObject({ timedOut: true });
        expect(out(await a.exec({ command: countProcesses('sleep') }))).toBe('0\n');
      });

      test('killing one tree spares what others started', async () => {
        await a.exec({ command: 'sleep 986 >/dev/null 2>&1 & echo' });
        expect(await a.exec({ command: 'sleep 987', timeoutMs: 300 })).toMatchObject({ timedOut: true });
        expect(out(await a.exec({ command: countProcesses('sleep 986') }))).toBe('1\n');
        await a.killAll();
        expect(out(await a.exec({ command: countProcesses('sleep') }))).toBe('0\n');
      });

      test('a lost connection ends a command that is not kept', async () => {
        const process = await a.spawn({ run: { command: 'sleep 987' } });
        process.detach();
        await expect(process.exit).rejects.toMatchObject({ kind: 'unavailable' });
        await eventually(async () => expect(await a.processes()).toEqual([]));
      });

      test('a kept command outlives its connection and loses no byte', async () => {
        const begun = await a.spawn({ run: { command: 'for i in $(seq 1 20000); do echo $i; done; sleep 0.2; echo end >&2' }, keep: { id: 'run-1' } });
        const first = String((await begun.stdout[Symbol.asyncIterator]().next()).value);
        begun.detach();
        const again = await a.attach('run-1', { stdout: first.length, stderr: 0 });
        const [rest, errors, exit] = await Promise.all([text(again.stdout), text(again.stderr), again.exit]);
        expect(first + rest).toBe(Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join(''));
        expect([errors, exit.code]).toEqual(['end\n', 0]);
        const afterwards = await a.attach('run-1', { stdout: 0, stderr: 0 });
        expect(await Promise.all([text(afterwards.stdout), afterwards.exit])).toEqual([first + rest, exit]);
        await expect(a.attach('run-2', { stdout: 0, stderr: 0 })).rejects.toMatchObject({ kind: 'failed' });
      });

      test('a kept command nobody follows is held back, not lost', async () => {
        const begun = await a.spawn({ run: { command: 'head -c 12000000 /dev/zero; echo end >&2' }, keep: { id: 'run-3' } });
        begun.detach();
        const again = await a.attach('run-3', { stdout: 0, stderr: 0 });
        let bytes = 0;
        again.stdout.on('data', (chunk: Buffer) => (bytes += chunk.length));
        expect(await text(again.stderr)).toBe('end\n');
        expect(await again.exit).toMatchObject({ code: 0, stdoutBytes: 12_000_000 });
        expect(bytes).toBe(12_000_000);
      });

      test.each([
        ['yes', 'yes | head -c 3G', 'stdout'],
        ['binary noise on stderr', 'head -c 1G /dev/zero >&2', 'stderr'],
      ] as const)('a flood of %s is cut at the cap with flat memory', async (_name, command, stream) => {
        const before = process.memoryUsage().rss;
        const result = await a.exec({ command, capBytes: MIB, timeoutMs: 30_000 });
        expect(result).toMatchObject({ exitCode: 0, truncated: true });
        expect(result[stream]).toHaveLength(MIB);
        expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB);
        expect((await a.stats()).memoryBytes).toBeLessThan(128 * MIB);
      }, 40_000);

      test('a slow reader holds a fast writer back', async () => {
        const process = await a.spawn({ run: { command: 'yes' }, timeoutMs: 20_000 });
        await eventually(() => expect(process.stdout.readableLength).toBeGreaterThan(0));
        const before = globalThis.process.memoryUsage().rss;
        await a.exec({ command: 'sleep 0.5' }); // time enough for a gigabyte, were it not held back
        expect(globalThis.process.memoryUsage().rss - before).toBeLessThan(32 * MIB);
        process.kill();
        process.stdout.resume();
        expect(await process.exit).toMatchObject({ signal: 'SIGKILL' });
      });

      test('orphans leave no zombies', async () => {
        await a.exec({ command: 'for i in $(seq 20); do (sleep 0.05 &) ; done' });
        await eventually(async () => expect(out(await a.exec({ command: 'cat /proc/[0-9]*/stat 2>/dev/null | grep -c ") Z "' }))).toBe('0\n'));
      });

      test('a fork bomb leaves the agent able to run and to kill', () =>
        withBox(async box => {
          const bomb = await box.spawn({ run: { command: attacks.forkBomb }, timeoutMs: 60_000 });
          bomb.stdout.resume();
          bomb.stderr.resume();
          await eventually(async () => expect((await box.stats()).pids).toBeGreaterThan(60));
          expect(out(await eventually(() => box.exec({ command: 'echo alive', timeoutMs: 20_000 }), { deadlineMs: 20_000 }))).toBe('alive\n');
          await box.killAll();
          expect(await box.processes()).toEqual([]);
          expect(out(await box.exec({ command: countAll }))).toBe('0\n');
        }), 60_000);

      test('kill -9 -1 leaves the agent and its sandbox alone', async () => {
        await a.exec({ command: 'kill -9 -1' });
        expect(out(await a.exec({ command: 'echo alive' }))).toBe('alive\n');
      });
    });

    test('no command may hold more than 4096 files open', async () => {
      expect(out(await a.exec({ command: 'ulimit -n; ulimit -Hn' }))).toBe('4096\n4096\n');
      expect(out(await a.exec({ command: attacks.perl('my @f; while (open(my $f, "<", "/dev/null")) { push @f, $f } print scalar(@f) > 4000 && @f < 4096 ? "held at " : "not held at ", $! + 0;') }))).toBe(`held at ${EMFILE}`);
    });

    describe('memory and disk', () => {
      test('a memory bomb is killed, counted and survived', () =>
        withBox(async box => {
          const before = await box.stats();
          expect(await box.exec({ command: attacks.eatMemory(4 * 256), timeoutMs: 20_000 })).toMatchObject({ signal: 'SIGKILL', timedOut: false });
          expect((await box.stats()).oomKills).toBeGreaterThan(before.oomKills);
          expect(out(await box.exec({ command: 'echo alive' }))).toBe('alive\n');
        }), 40_000);

      test('thirty bombs that lower their own score take at most their own sandbox, which starts again with its files', async () => {
        const box = await start({}, 'bombed');
        await box.files.write('kept', Buffer.from('still here'));
        const exited = new Promise<ExitReason>(resolve => box.onExit(resolve));
        const bombs = Array.from({ length: 30 }, (_, index) => box.exec({ command: attacks.eatMemory(128, index % 2 ? 500 : 0), timeoutMs: 8_000 }).catch(() => undefined));
        await Promise.all(bombs);
        const alive = await box.exec({ command: 'echo alive' }).catch(() => null);
        if (!alive) expect(await exited).toBe('oom');
        if (features.has('per-process-kill')) expect(alive).not.toBeNull();
        await box.stop();
        const next = await start({}, 'bombed', 2);
        expect(out(await next.exec({ command: 'cat kept' }))).toBe('still here');
        await next.destroy();
      }, 60_000);

      test.each(['/tmp', '/dev/shm', '/home/user'])('%s can be filled with bytes and with empty files, and the agent lives', directory =>
        withBox(async box => {
          if (directory === '/home/user' && !features.has('disk-quota')) return;
          const { stderr } = await box.exec({ command: `cat /dev/zero > ${directory}/fill`, timeoutMs: 30_000 });
          expect(stderr.toString()).toContain('No space left on device');
          await box.exec({ command: `rm ${directory}/fill` });
          expect(out(await box.exec({ command: attacks.fillWithEmptyFiles(directory), timeoutMs: 60_000 }))).toBe(`${ENOSPC} many`);
          expect(out(await box.exec({ command: 'echo alive' }))).toBe('alive\n');
        }), 90_000);
    });

    describe('what must not be seen', () => {
      test('files of the host outside the mounts', async () => {
        const directory = mkdtempSync(join(tmpdir(), 'gatehouse-visible-'));
        try {
          writeFileSync(join(directory, 'readable'), 'host', { mode: 0o644 });
          for (const path of ['/etc/shadow', join(directory, 'readable'), directory, ...subject.directories]) {
            expect([path, out(await a.exec({ command: attacks.readFrom(path) }))]).toEqual([path, `[${ENOENT}]`]);
          }
        } finally {
          rmSync(directory, { recursive: true });
        }
      });

      test('the environment and command lines of the service', async () => {
        const { stdout } = await a.exec({ command: 'env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" "\\n"' });
        expect(stdout.toString()).not.toContain(CANARY_VALUE);
        expect(stdout.toString()).not.toContain(CANARY);
        const programs = out(await a.exec({ command: 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done' })).split('\n').filter(Boolean).map(line => line.split(' ')[0]);
        expect(programs).toEqual(expect.arrayContaining(['/opt/gatehouse/init', '/opt/gatehouse/lib/ld.so']));
        expect(programs.length).toBeLessThan(6);
      });

      test('the neighbour', async () => {
        await a.exec({ command: 'echo of A > mine' });
        expect(out(await a.exec({ command: 'cat mine' }))).toBe('of A\n');
        expect(out(await a.exec({ command: 'cat /proc/[0-9]*/root/home/user/mine 2>/dev/null | sort -u' }))).toBe('of A\n');
        expect((await a.exec({ command: 'ls /proc/1/root/' })).exitCode).not.toBe(0);
      });

      test.each([
        ['/proc/kcore', /^(\[\d+\])?$/],
        ['/proc/keys', /^(\[\d+\])?$/],
        ['/dev/kmsg', /^\[2\]$/],
        ['/dev/mem', /^\[2\]$/],
        ['/dev/kvm', /^\[2\]$/],
        ['/dev/vda', /^\[2\]$/],
        ['/proc/1/environ', /^\[13\]$/],
        ['/proc/1/maps', /^(\[13\])?$/],
      ])('%s', async (path, expected) => {
        expect(out(await a.exec({ command: attacks.readFrom(path) }))).toMatch(expected);
      });

      test('addresses of the kernel', async () => {
        const { stdout } = await a.exec({ command: 'cut -d" " -f1 /proc/kallsyms | sort -u | head -2' });
        expect(out({ stdout })).toMatch(/^(0+\n)?$/);
      });
    });

    describe('what must not be written', () => {
      test.each(['/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern', '/proc/sys/vm/drop_caches', '/usr/bin/env', '/etc/passwd', '/opt/gatehouse/agent.cjs', '/opt/gatehouse/node', '/opt/gatehouse/init'])('%s', async path => {
        expect(REFUSED).toContain(out(await a.exec({ command: attacks.writeTo(path) })));
      });

      test('the program a process runs', async () => {
        expect([...REFUSED, String(ETXTBSY)]).toContain(out(await a.exec({ command: attacks.writeTo('/proc/self/exe') })));
      });

      test.each(['/', '/usr', '/etc', '/dev', '/opt/gatehouse', '/run/gatehouse', '/run/gatehouse-egress', '/dev/.gatehouse'])('new files in %s', async directory => {
        expect((await a.exec({ command: `: > ${directory}/new` })).exitCode).not.toBe(0);
      });
    });

    describe('what must not work', () => {
      const onX64 = process.arch === 'x64' ? test : test.skip;

      onX64('every call that is refused', async () => {
        const { stdout } = await a.exec({ command: attacks.systemCalls(Object.values(attacks.REFUSED_NUMBERS).map(number => [number] as const)) });
        const answers = Object.keys(attacks.REFUSED_NUMBERS).map((call, index) => [call, Number(out({ stdout }).split('\n')[index])]);
        expect(answers).toEqual(Object.keys(attacks.REFUSED_NUMBERS).map(call => [call, EPERM]));
      });

      onX64('calls nobody has heard of', async () => {
        const { stdout } = await a.exec({ command: attacks.systemCalls(attacks.UNKNOWN_NUMBERS.map(number => [number] as const)) });
        expect(out({ stdout }).trim().split('\n').map(Number)).toEqual(attacks.UNKNOWN_NUMBERS.map(() => ENOSYS));
      });

      onX64('calls of another architecture', async () => {
        expect(await a.exec({ command: attacks.x32Call })).toMatchObject({ signal: 'SIGSYS', stdout: Buffer.alloc(0) });
        expect(await a.exec({ command: attacks.thirtyTwoBitCall })).toMatchObject({ signal: 'SIGSYS', stdout: Buffer.alloc(0) });
      });

      onX64('a new namespace by clone, also with a bit above the 32 the kernel looks at', async () => {
        for (const bit of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
          for (const flags of [`${bit}`, `(${bit} | (1 << 40))`]) expect([flags, out(await a.exec({ command: attacks.cloneWith(flags) }))]).toEqual([flags, String(EPERM)]);
        }
      });

      onX64('sockets of families that reach the host', async () => {
        for (const family of ['40', '17', '38', '44', '2 | (1 << 32)', '40 | (1 << 32)', '3', '21']) {
          expect([family, out(await a.exec({ command: attacks.openSocket(family, 1) }))]).toEqual([family, String(EAFNOSUPPORT)]);
        }
        expect(out(await a.exec({ command: attacks.openSocket('2', 3, 1) }))).toBe(String(EPERM)); // raw
      });

      test('changing the network', async () => {
        expect(out(await a.exec({ command: attacks.takeLoopbackDown }))).toBe(String(EPERM));
      });

      test('becoming somebody else', async () => {
        for (const command of ['mknod /tmp/disk b 254 0', 'mount -t tmpfs none /tmp', 'unshare --user --map-root-user true', 'chroot / true', 'su -c id root', 'unshare --mount true']) {
          expect([command, (await a.exec({ command })).exitCode]).not.toEqual([command, 0]);
        }
        expect(out(await a.exec({ command: 'grep -E "^(CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs)" /proc/self/status | cut -f2 | sort -u' }))).toBe('0000000000000000\n1\n');
      });

      test('killing processes of the host', async () => {
        expect(out(await a.exec({ command: attacks.perl(`print kill(0, ${process.pid}) ? "ok" : $! + 0`) }))).toBe(String(ESRCH));
      });

      test('touching the agent', async () => {
        const agent = out(await a.exec({ command: 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline | grep -q "^/opt/gatehouse/lib/ld.so" && echo ${p##*/}; done' })).trim();
        expect(agent).toMatch(/^\d+$/);
        for (const file of ['mem', 'environ', 'maps', 'auxv', 'syscall', 'stack']) expect([file, out(await a.exec({ command: attacks.readFrom(`/proc/${agent}/${file}`) }))]).toEqual([file, `[${EACCES}]`]);
        expect((await a.exec({ command: `ls /proc/${agent}/fd/` })).exitCode).not.toBe(0);
        for (const command of [`kill -9 ${agent}`, `kill -STOP ${agent}`, `renice -n 10 -p ${agent}`, 'rm /run/gatehouse/agent.sock', 'mv /run/gatehouse/agent.sock /tmp/', 'ln -sf /tmp /run/gatehouse/agent.sock']) {
          expect([command, (await a.exec({ command })).exitCode]).not.toEqual([command, 0]);
        }
        expect(out(await a.exec({ command: attacks.connectUnix('/run/gatehouse/agent.sock') }))).toBe(String(EACCES));
      });

      describe('reaching a network', () => {
        let tcp: Server;
        let abstract: Server;
        const abstractName = `gatehouse-test-${process.pid}`;
        const listen = (server: Server, at: object) => new Promise<Server>(resolve => server.listen(at, () => resolve(server)));

        beforeAll(async () => {
          tcp = await listen(createServer(socket => socket.end()), { host: '0.0.0.0', port: 0 });
          abstract = await listen(createServer(socket => socket.end()), { path: `\0${abstractName}` });
        });

        afterAll(() => {
          tcp.close();
          abstract.close();
        });

        test('of the host, of the cloud or of the world', async () => {
          const { port } = tcp.address() as { port: number };
          const own = Object.values(networkInterfaces()).flatMap(addresses => addresses ?? []).find(({ family, internal }) => family === 'IPv4' && !internal);
          for (const [host, at] of [['127.0.0.1', port], [own?.address ?? '10.0.0.1', port], ['169.254.169.254', 80], ['1.1.1.1', 443]] as const) {
            expect([host, out(await a.exec({ command: attacks.connectTcp(host, at) }))]).toEqual([host, host === '127.0.0.1' ? String(ECONNREFUSED) : '101']);
          }
        });

        test('by name', async () => {
          expect((await a.exec({ command: 'getent hosts example.com', timeoutMs: 20_000 })).exitCode).not.toBe(0);
        }, 30_000);

        test('by the name of an abstract socket of the host', async () => {
          expect(out(await a.exec({ command: attacks.connectUnix(`\\0${abstractName}`) }))).toBe(String(ECONNREFUSED));
        });
      });
    });

    describe('the life of a sandbox', () => {
      test('two starts of one generation are one sandbox, and a later generation replaces an earlier', async () => {
        const [first, second] = await Promise.all([start({}, 'twice'), start({}, 'twice')]);
        expect(second).toBe(first);
        const exited = new Promise<ExitReason>(resolve => first.onExit(resolve));
        const later = await start({}, 'twice', 2);
        expect(await exited).toBe('stopped');
        await expect(first.exec({ command: 'true' })).rejects.toMatchObject({ kind: 'unavailable' });
        await expect(start({}, 'twice', 1)).rejects.toMatchObject({ kind: 'failed' });
        expect(out(await later.exec({ command: 'echo alive' }))).toBe('alive\n');
        await later.destroy();
      });

      test('stopping keeps the files, destroying does not', async () => {
        const first = await start({}, 'keeps');
        await first.files.write('note', Buffer.from('kept'));
        expect(await idleDisks()).not.toContain('keeps');
        await first.stop();
        expect(await idleDisks()).toContain('keeps');
        const second = await start({}, 'keeps', 2);
        expect(out(await second.exec({ command: 'cat note' }))).toBe('kept');
        await second.destroy();
        expect(await idleDisks()).not.toContain('keeps');
        const third = await start({}, 'keeps', 3);
        expect(out(await third.exec({ command: 'cat note 2>/dev/null || echo gone' }))).toBe('gone\n');
        await third.destroy();
      });

      test('pausing stops time inside, resuming goes on, and a paused one can be stopped', () =>
        withBox(async box => {
          const counting = await box.spawn({ run: { command: 'while :; do echo tick; sleep 0.01; done' }, timeoutMs: 60_000 });
          await eventually(() => expect(counting.stdout.readableLength).toBeGreaterThan(0));
          await box.pause();
          await expect(box.exec({ command: 'true' })).rejects.toMatchObject({ kind: 'unavailable' });
          const { cpuUsec } = await box.stats();
          expect((await box.stats()).cpuUsec).toBe(cpuUsec);
          await box.resume();
          expect(out(await box.exec({ command: 'echo alive' }))).toBe('alive\n');
          await box.pause();
          counting.stdout.resume();
        }), 30_000);

      test('half a core is half a core', () =>
        withBox(async box => {
          const before = await box.stats();
          await box.exec({ command: 'while :; do :; done', timeoutMs: 2_000 });
          const used = ((await box.stats()).cpuUsec - before.cpuUsec) / 2_000_000;
          expect(used).toBeGreaterThan(0.3);
          expect(used).toBeLessThan(0.65);
        }, { cpuMillis: 500 }), 20_000);

      test('attach finds what runs and nothing else', async () => {
        expect(await driver.attach(a.ref)).toBe(a);
        expect(await driver.attach({ ...a.ref, slot: 'aaaaaaaaaaaa' })).toBeNull();
        expect(await driver.attach({ ...a.ref, generation: 99 })).toBeNull();
        const listed = [];
        for await (const box of driver.list()) listed.push(box);
        expect(listed).toEqual(expect.arrayContaining([{ ...a.ref, state: 'running' }, { ...b.ref, state: 'running' }]));
      });

      test('nonsense is refused before anything starts', async () => {
        await expect(start({}, '../escape')).rejects.toMatchObject({ kind: 'failed' });
        await expect(start({ memoryBytes: 1 })).rejects.toMatchObject({ kind: 'failed' });
        await expect(driver.create({ sandboxId: 'x', generation: 1, template: 'no-such', limits: LIMITS, env: {} })).rejects.toMatchObject({ kind: 'failed' });
        await driver.removeDisk('x');
      });

      test('a start whose caller left leaves nothing', async () => {
        const caller = new AbortController();
        const starting = driver.create({ sandboxId: 'left', generation: 1, template: subject.template?.() ?? 'host', limits: LIMITS, env: {} }, caller.signal);
        caller.abort(new Error('the caller left'));
        await expect(starting).rejects.toThrow('the caller left');
        await driver.removeDisk('left');
      });
    });
  });
}

function out({ stdout }: Pick<ExecResult, 'stdout'>): string {
  return stdout.toString();
}

function outcome(result: ExecResult): object {
  return { ...result, stdout: result.stdout.toString(), stderr: result.stderr.toString() };
}

function countProcesses(start: string): string {
  return `n=0; for p in /proc/[0-9]*; do case "$(tr "\\0" " " < $p/cmdline 2>/dev/null)" in *bash*) ;; *${attacks.quote(start)}*) n=$((n+1));; esac; done; echo $n`;
}

/** Processes besides pid 1, the agent and the counting shell itself. */
const countAll = 'n=-1; for p in /proc/[0-9]*; do case "$(cat $p/cmdline 2>/dev/null | tr "\\0" " ")" in /opt/gatehouse/*|"") ;; *) n=$((n+1));; esac; done; [ $n -lt 0 ] && n=0; echo $n';
