import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DriverErrorKind } from './driver-error.js';
import type { ConformanceSubject } from './sandbox-driver.conformance.js';
import type { SandboxDriver, SandboxHandle, SandboxLimits } from './sandbox.driver.js';
import * as attacks from './testing/attacks.js';

const MIB = 1024 * 1024;
const LIMITS: SandboxLimits = { memoryBytes: 256 * MIB, cpuMillis: 2000, pids: 160, diskBytes: 64 * MIB };
const LARGE_DISK = { diskBytes: 2048 * MIB };
/** What a call about files may say, whatever the sandbox does to itself meanwhile. */
const SAYABLE: readonly string[] = ['not-found', 'wrong-kind', 'occupied', 'denied'] satisfies DriverErrorKind[];

/**
 * What the files of every driver have to hold: each operation and each error, then against a sandbox that does its worst. The
 * neighbour is asked after each test and must answer.
 */
export function sandboxFilesConformance(name: string, subject: ConformanceSubject): void {
  describe(`files of ${name}`, () => {
    let driver: SandboxDriver;
    let a: SandboxHandle;
    let b: SandboxHandle;
    let quota: boolean;
    let made = 0;
    /** A directory of its own for each test. */
    let at: string;

    const start = (sandboxId: string, limits: Partial<SandboxLimits> = {}) =>
      driver.create({ sandboxId, generation: 1, template: subject.template?.() ?? 'host', limits: { ...LIMITS, ...limits }, env: {} });
    const withBox = async (test: (box: SandboxHandle) => Promise<void>, limits?: Partial<SandboxLimits>) => {
      const box = await start(`files-${++made}`, limits);
      try {
        await test(box);
      } finally {
        await box.destroy();
      }
    };
    const sh = async (command: string, box = a) => (await box.exec({ command, cwd: box === a ? at : '/home/user', timeoutMs: 60_000 })).stdout.toString();
    const read = async (path: string, box = a) => text((await box.files.read(path)).content);
    const names = async (path: string, depth = 1, box = a) => (await box.files.list(path, { depth, maxEntries: 10_000 })).entries.map(entry => entry.path.slice(path.length + 1));

    beforeAll(async () => {
      driver = await subject.open();
      quota = (await driver.probe()).features.has('disk-quota');
      [a, b] = await Promise.all([start('a', LARGE_DISK), start('b')]);
      await b.files.write('mine', Buffer.from('of B'));
    }, 60_000);

    beforeEach(async () => {
      at = `/home/user/test-${++made}`;
      await a.files.mkdir(at);
    });

    afterEach(async () => {
      expect(await read('mine', b)).toBe('of B');
      expect(await sh('echo alive')).toBe('alive\n');
      await a.killAll();
      await a.files.remove(at);
      expect((await sh('find /home/user /tmp -name ".gatehouse-*"', b)) + (await a.exec({ command: 'find /home/user /tmp -name ".gatehouse-*"' })).stdout.toString()).toBe('');
    });

    afterAll(async () => {
      await Promise.all([a?.destroy(), b?.destroy()]);
      await subject.close();
    }, 60_000);

    describe('writing', () => {
      test('is whole, counts its bytes, makes parents and sets the mode whatever the umask', async () => {
        expect(await a.files.write(`${at}/made/here/script.sh`, Buffer.from('#!/bin/sh\necho ran\n'), { mode: 0o755 })).toBe(19);
        expect(await sh('made/here/script.sh; stat -c "%a %U" made/here/script.sh made/here; ls -A made/here')).toBe('ran\n755 user\n755 user\nscript.sh\n');
        expect(await a.files.write(`${at}/open`, Buffer.from('x'), { mode: 0o666 })).toBe(1);
        expect(await sh('stat -c %a open')).toBe('666\n');
        expect(await a.files.write(`${at}/empty`, Buffer.alloc(0))).toBe(0);
        expect(await a.files.write(`${at}/none`, Readable.from([]))).toBe(0);
        expect(await sh('stat -c "%s %a" empty none')).toBe('0 644\n0 644\n');
        const large = Buffer.alloc(5 * MIB, 'gatehouse');
        expect(await a.files.write(`${at}/large`, Readable.from([large.subarray(0, MIB), large.subarray(MIB)]))).toBe(5 * MIB);
        expect((await buffer((await a.files.read(`${at}/large`)).content)).equals(large)).toBe(true);
      });

      test('onto a directory, or below a file, is occupied', async () => {
        await sh('mkdir dir; touch file; ln -s dir to-dir; ln -s missing/x dangling');
        for (const path of ['dir', 'to-dir', 'file/x', 'file/x/y', 'dangling/x']) expect([path, await problem(a.files.write(`${at}/${path}`, Buffer.from('x')))]).toEqual([path, 'occupied']);
        expect(await problem(a.files.write('/', Buffer.from('x')))).toBe('occupied');
        expect(await sh('ls -A . dir')).toBe('.:\ndangling\ndir\nfile\nto-dir\n\ndir:\n');
      });

      test('follows a link at the end to where it leads, and nowhere the command user may not write', async () => {
        await sh('mkdir -p real/deep; ln -s real/deep/target one; ln -s ./one two; ln -s ../real/deep/../deep/up real/up; ln -s real/deep via; ln -s loop loop; ln -s /etc/passwd passwd; ln -s /run/gatehouse agent');
        await a.files.write(`${at}/two`, Buffer.from('through'));
        await a.files.write(`${at}/real/up`, Buffer.from('upwards'));
        await a.files.write(`${at}/via/below`, Buffer.from('below'));
        expect(await sh('readlink one two; cat real/deep/target real/deep/up real/deep/below; ls -A real/deep')).toBe('real/deep/target\n./one\nthroughupwardsbelowbelow\ntarget\nup\n');
        for (const path of ['loop', 'passwd', 'agent/agent.sock', '/etc/passwd', '/usr/bin/x', '/proc/x', '/proc/self/environ', '/proc/self/fd/x', '/proc/self/exe', '/sys/x', '/dev/x', '/dev/null', '/run/gatehouse-egress/x']) {
          expect([path, await problem(a.files.write(path.startsWith('/') ? path : `${at}/${path}`, Buffer.from('x')))]).toEqual([path, 'denied']);
        }
        expect(await sh('head -c 4 /etc/passwd')).toBe('root');
      });

      test('more than allowed leaves nothing, and what was there stays', async () => {
        await a.files.write(`${at}/kept`, Buffer.from('before'));
        let given = 0;
        const endless = Readable.from((function* () { for (;;) yield Buffer.alloc(++given && 64 * 1024); })());
        expect(await problem(a.files.write(`${at}/kept`, endless, { maxBytes: MIB }))).toBe('too-large');
        expect([await read(`${at}/kept`), await names(at)]).toEqual(['before', ['kept']]);
        expect(given).toBeLessThan(1_000);
        expect(endless.destroyed).toBe(true);
        expect(await problem(a.files.write(`${at}/new`, Buffer.from('four'), { maxBytes: 3 }))).toBe('too-large');
        expect(await a.files.write(`${at}/new`, Buffer.from('four'), { maxBytes: 4 })).toBe(4);
        expect(await a.files.write(`${at}/new`, Readable.from([Buffer.from('four')]), { maxBytes: 4 })).toBe(4);
      });

      test('a source that fails leaves nothing and is the reason', async () => {
        const reason = new Error('the sender is gone');
        const failing = Readable.from((async function* () { yield Buffer.alloc(3 * MIB); await nextTurn(); throw reason; })());
        await expect(a.files.write(`${at}/half`, failing)).rejects.toBe(reason);
        expect(await names(at)).toEqual([]);
        const left = new Readable({ read: () => undefined });
        left.push(Buffer.alloc(MIB));
        const writing = problem(a.files.write(`${at}/left`, left));
        await eventually(async () => expect(await names(at)).toHaveLength(1));
        left.destroy();
        await writing;
        expect(await names(at)).toEqual([]);
      });

      test('by many at once to one path gives one of them whole, and a reader always has one whole', async () => {
        const versions = Array.from({ length: 24 }, (_, index) => Buffer.alloc(MIB, `version ${index} `));
        await a.files.write(`${at}/one`, versions[0] as Buffer);
        let writing = true;
        const reading = (async () => {
          let seen = 0;
          for (; writing; seen++) {
            const found = await buffer((await a.files.read(`${at}/one`)).content);
            expect(versions.some(version => version.equals(found))).toBe(true);
          }
          return seen;
        })();
        await Promise.all(versions.map(version => a.files.write(`${at}/one`, Readable.from([version]))));
        writing = false;
        expect(await reading).toBeGreaterThan(0);
        const last = await buffer((await a.files.read(`${at}/one`)).content);
        expect(versions.some(version => version.equals(last))).toBe(true);
        expect(await names(at)).toEqual(['one']);
      }, 30_000);

      test('while the directory is moved away goes with it', async () => {
        await a.files.mkdir(`${at}/before`);
        const slow = new Readable({ read: () => undefined });
        slow.push('first ');
        const writing = a.files.write(`${at}/before/file`, slow);
        await eventually(async () => expect(await names(`${at}/before`)).toHaveLength(1));
        await sh('mv before after; mkdir before');
        slow.push('last');
        slow.push(null);
        expect(await writing).toBe(10);
        expect(await sh('cat after/file; ls -A before after')).toBe('first lastafter:\nfile\n\nbefore:\n');
      });
    });

    describe('reading', () => {
      test('gives a file as long as it was, through links', async () => {
        await sh('mkdir dir; printf content > dir/file; ln -s dir/file one; ln -s one two; ln -s "$PWD/dir" d; touch empty; ln -s ../../../../../../../..$PWD/dir/file up');
        for (const path of ['dir/file', 'one', 'two', 'd/file', 'd/../dir/file', 'up', `/proc/self/root${at}/dir/file`.slice(0)]) {
          const { size, content } = await a.files.read(path.startsWith('/') ? path : `${at}/${path}`);
          expect([path, size, await text(content)]).toEqual([path, 7, 'content']);
        }
        const empty = await a.files.read(`${at}/empty`);
        expect([empty.size, await text(empty.content)]).toEqual([0, '']);
        expect(await read('/etc/passwd')).toBe(await sh('cat /etc/passwd'));
      });

      test('says exactly why not', async () => {
        await sh('mkdir dir; touch file; touch closed; chmod 0 closed; mkdir locked; touch locked/file; chmod 0 locked; ln -s missing dangling; ln -s loop loop; ln -s /etc/shadow shadow; mkfifo pipe; perl -MIO::Socket::UNIX -e "IO::Socket::UNIX->new(Local => q(socket), Listen => 1)"; ln -s /dev/zero zero; truncate -s 7E /tmp/endless');
        const expected: [string, DriverErrorKind][] = [
          ['missing', 'not-found'], ['missing/x', 'not-found'], ['file/x', 'not-found'], ['dangling', 'not-found'], ['shadow', 'not-found'],
          ['dir', 'wrong-kind'], ['pipe', 'wrong-kind'], ['socket', 'wrong-kind'], ['zero', 'wrong-kind'], ['/dev/zero', 'wrong-kind'], ['/dev/ptmx', 'wrong-kind'], ['/', 'wrong-kind'],
          ['/proc/1/environ', 'wrong-kind'], ['/proc/self/environ', 'wrong-kind'], ['/proc/self/mem', 'wrong-kind'], ['/proc/self/maps', 'wrong-kind'], ['/proc/meminfo', 'wrong-kind'], ['/proc/sys/kernel/hostname', 'wrong-kind'],
          ['closed', 'denied'], ['locked/file', 'denied'], ['loop', 'denied'], [`${'n'.repeat(256)}`, 'denied'], [`${'n/'.repeat(2_048)}n`, 'denied'], ['/run/gatehouse/agent.sock', 'wrong-kind'], ['/dev/.gatehouse/0', 'denied'],
          ['/tmp/endless', 'too-large'],
        ];
        for (const [path, kind] of expected) expect([path, await problem(a.files.read(path.startsWith('/') ? path : `${at}/${path}`))]).toEqual([path, kind]);
        await sh('chmod 755 locked; rm /tmp/endless');
        for (let fd = 0; fd < 40; fd++) expect(['not-found', 'wrong-kind', 'denied']).toContain(await problem(a.files.read(`/proc/self/fd/${fd}`)));
      });

      test('a file that grows keeps its length, one that shrinks breaks off', async () => {
        await sh('head -c 8M /dev/zero > grows; head -c 200M /dev/zero > shrinks');
        const grows = await a.files.read(`${at}/grows`);
        await sh('echo more >> grows');
        expect((await buffer(grows.content)).length).toBe(8 * MIB);
        const shrinks = await a.files.read(`${at}/shrinks`);
        expect(shrinks.size).toBe(200 * MIB);
        await sh('truncate -s 1M shrinks');
        expect(await problem(buffer(shrinks.content))).toBe('unavailable');
      });

      test('a reader may be slow, or leave', async () => {
        await sh('head -c 64M /dev/zero > large');
        const before = process.memoryUsage().rss;
        const { content } = await a.files.read(`${at}/large`);
        const chunks = content[Symbol.asyncIterator]();
        await chunks.next();
        await sh('sleep 0.5'); // time enough for all of it, were it not held back
        expect(process.memoryUsage().rss - before).toBeLessThan(32 * MIB);
        await chunks.return?.();
        const again = await a.files.read(`${at}/large`);
        expect((await buffer(again.content)).length).toBe(64 * MIB);
        for (let reader = 0; reader < 200; reader++) (await a.files.read(`${at}/large`)).content.destroy();
        const table = await agentDescriptorTable();
        expect(table).toBeGreaterThan(0);
        expect(table).toBeLessThanOrEqual(256);
      }, 20_000);
    });

    describe('looking', () => {
      test('at a file, a directory, a link and others tells what they are themselves', async () => {
        await sh('printf content > file; chmod 4751 file; touch -d 2001-02-03T04:05:06Z file; mkdir dir; chmod 1777 dir; ln -s ./file link; ln -s /etc/shadow shadow; mkfifo pipe; touch -d 1969-01-01T00:00:00Z early; truncate -s 7E /tmp/endless');
        expect(await a.files.stat(`${at}/file`)).toEqual({ name: 'file', path: `${at}/file`, type: 'file', size: 7, mode: 0o4751, uid: 1000, gid: 1000, modifiedMs: Date.UTC(2001, 1, 3, 4, 5, 6) });
        expect(await a.files.stat(`${at}/dir`)).toMatchObject({ name: 'dir', type: 'dir', mode: 0o1777 });
        expect(await a.files.stat(`${at}/link`)).toMatchObject({ name: 'link', type: 'symlink', symlinkTarget: './file', size: 6 });
        expect(await a.files.stat(`${at}/shadow`)).toMatchObject({ type: 'symlink', symlinkTarget: '/etc/shadow' });
        expect(Object.keys(await a.files.stat(`${at}/pipe`))).not.toContain('type');
        expect((await a.files.stat(`${at}/early`)).modifiedMs).toBe(Date.UTC(1969, 0, 1));
        expect((await a.files.stat('/tmp/endless')).size).toBe(Number.MAX_SAFE_INTEGER);
        expect(await a.files.stat('/')).toMatchObject({ name: '/', path: '/', type: 'dir' });
        expect(await a.files.stat('/etc/passwd')).toMatchObject({ type: 'file', path: '/etc/passwd' });
        expect(await a.files.stat(`${at.slice('/home/user/'.length)}/./dir/../file`)).toMatchObject({ path: `${at}/file` });
        expect([await problem(a.files.stat(`${at}/none`)), await problem(a.files.stat(`${at}/file/x`)), await problem(a.files.stat(`${at}/${'n'.repeat(256)}`))]).toEqual(['not-found', 'not-found', 'denied']);
        await sh('rm /tmp/endless');
      });

      test('into a directory, level by level, sorted by code points, links not entered', async () => {
        await sh('mkdir -p b/c/d/e "b c" locked; touch a b/f b/c/f b/c/d/f "b c/f" b-a locked/f $(printf "\\xf0\\x9f\\x98\\x80") $(printf "\\xef\\xbf\\xbc"); ln -s b link; chmod 0 locked');
        const top = ['a', 'b', 'b c', 'b-a', 'link', 'locked', '\ufffc', '😀'];
        expect(await names(at)).toEqual(top);
        expect(await names(at, 2)).toEqual(['a', 'b', 'b c', 'b c/f', 'b-a', 'b/c', 'b/f', 'link', 'locked', '\ufffc', '😀']);
        expect(await names(at, 3)).toEqual(['a', 'b', 'b c', 'b c/f', 'b-a', 'b/c', 'b/c/d', 'b/c/f', 'b/f', 'link', 'locked', '\ufffc', '😀']);
        expect(await names(at, 20)).toHaveLength(15);
        expect(await names(`${at}/link`)).toEqual(['c', 'f']);
        expect(await names('/home/user')).toContain(at.slice('/home/user/'.length));
        const root = await a.files.list('/', { depth: 3, maxEntries: 10_000 });
        expect(root.entries.map(({ path }) => path)).toEqual(expect.arrayContaining(['/home', '/home/user', at, '/proc', '/etc/passwd']));
        expect(root.entries.filter(({ path }) => path.startsWith('/proc/'))).toEqual([]);
        expect(await a.files.list(`${at}/b/c/d/e`, { depth: 20, maxEntries: 10 })).toEqual({ entries: [], truncated: false });
        for (const [path, kind] of [['a', 'wrong-kind'], ['none', 'not-found'], ['a/x', 'not-found'], ['locked', 'denied']] as const) {
          expect([path, await problem(a.files.list(`${at}/${path}`, { depth: 1, maxEntries: 10 }))]).toEqual([path, kind]);
        }
        for (const path of ['/proc', '/proc/self/fd', '/proc/1', '/sys', '/dev/null']) expect([path, await problem(a.files.list(path, { depth: 1, maxEntries: 10 }))]).toEqual([path, path === '/sys' ? expect.stringMatching(/passed|wrong-kind|not-found/) : 'wrong-kind']);
        await sh('chmod 755 locked');
      });

      test('is cut at the entries asked for, and where the answer would be too long', async () => {
        await sh('mkdir one two; touch one/a one/b two/c');
        expect(await a.files.list(at, { depth: 2, maxEntries: 5 })).toMatchObject({ truncated: false });
        const cut = await a.files.list(at, { depth: 2, maxEntries: 3 });
        expect([cut.entries.length, cut.truncated]).toEqual([3, true]);
        expect(cut.entries.map(({ name }) => name)).toEqual(expect.arrayContaining(['one', 'two'])); // what is near comes first
        await sh(attacks.perl('my $n = "\\x01" x 250; for (1 .. 8) { mkdir $n or die; chdir $n } for my $i (1000 .. 3000) { symlink "x" x 4000, "$i" or die $! }'));
        const long = await a.files.list(at, { depth: 20, maxEntries: 10_000 });
        expect(long.truncated).toBe(true);
        expect(Buffer.byteLength(JSON.stringify(long))).toBeLessThan(20 * MIB);
      }, 30_000);

      test('at odd names finds them as they are, and those that are no text with a mark', async () => {
        const odd = ['new\nline', ' blank ', '"quoted"', "it's", 'back\\slash', '-rf', '*', '%2e%2e', '&a=b#c?d', 'ünïcödé', '日本語', '😀', 'e\u0301', '\u0007', 'x'.repeat(255), '..hidden', '...'];
        for (const name of odd) {
          await a.files.write(`${at}/${name}`, Buffer.from(name));
          expect([name, await read(`${at}/${name}`), (await a.files.stat(`${at}/${name}`)).name]).toEqual([name, name, name]);
        }
        expect(await names(at)).toEqual([...odd].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))));
        for (const name of odd) expect((await a.files.rename(`${at}/${name}`, `${at}/moved`)).name).toBe('moved');
        await sh(attacks.perl('for my $n ("\\xff\\xfe", "a\\xc3", "\\xed\\xa0\\x80") { mkdir $n or die; symlink "\\xff", "$n/l"; open(my $f, ">", "$n/f\\xff") or die } symlink "to\\xff", "link"; open(my $f, ">", "to\\xff"); print $f "raw"'));
        const invalid = await a.files.list(at, { depth: 2, maxEntries: 100 });
        expect(invalid.entries).toHaveLength(12);
        expect(invalid.entries.filter(({ name }) => name.includes('\ufffd')).length).toBeGreaterThan(6);
        expect(await read(`${at}/link`)).toBe('raw');
        await a.files.write(`${at}/link`, Buffer.from('written'));
        expect(await sh(attacks.readFrom('to\\xff'))).toBe('written');
      });
    });

    describe('changing', () => {
      test('mkdir makes parents and says whether it was there', async () => {
        expect([await a.files.mkdir(`${at}/x/y/z`), await a.files.mkdir(`${at}/x/y/z`), await a.files.mkdir(`${at}/x`), await a.files.mkdir('/'), await a.files.mkdir('/tmp')]).toEqual([true, false, false, false, false]);
        await sh('touch file; ln -s x link; ln -s none dangling; ln -s loop loop');
        expect(await a.files.mkdir(`${at}/link`)).toBe(false);
        expect(await a.files.mkdir(`${at}/link/new`)).toBe(true);
        for (const [path, kind] of [['file', 'occupied'], ['file/x', 'occupied'], ['dangling', 'occupied'], ['loop', 'denied'], ['n'.repeat(256), 'denied']] as const) {
          expect([path, await problem(a.files.mkdir(`${at}/${path}`))]).toEqual([path, kind]);
        }
        for (const path of ['/opt/gatehouse/x', '/usr/x', '/proc/x', '/x']) expect([path, await problem(a.files.mkdir(path))]).toEqual([path, 'denied']);
        expect((await Promise.all(Array.from({ length: 20 }, () => a.files.mkdir(`${at}/same/path`)))).filter(Boolean).length).toBeGreaterThan(0);
      });

      test('rename moves files, links and directories, replaces a file and never a directory', async () => {
        await sh('printf one > one; printf two > two; mkdir dir empty; touch dir/in; ln -s one link; ln -s dir to-dir');
        expect(await a.files.rename(`${at}/one`, `${at}/two`)).toMatchObject({ name: 'two', path: `${at}/two`, type: 'file', size: 3 });
        expect(await a.files.rename(`${at}/two`, `${at}/new/parents/three`)).toMatchObject({ path: `${at}/new/parents/three` });
        expect(await a.files.rename(`${at}/dir`, `${at}/new/dir`)).toMatchObject({ type: 'dir' });
        expect(await a.files.rename(`${at}/link`, `${at}/new/link`)).toMatchObject({ type: 'symlink', symlinkTarget: 'one' });
        expect(await sh('cat new/parents/three; ls -A . new/dir')).toBe('one.:\nempty\nnew\nto-dir\n\nnew/dir:\nin\n');
        await sh('printf file > file');
        for (const [from, to, kind] of [
          ['none', 'x/y', 'not-found'], ['file/x', 'x/y', 'not-found'], ['file', 'empty', 'occupied'], ['empty', 'new', 'occupied'], ['new', 'empty', 'occupied'], ['new', 'file', 'occupied'], ['file', 'file/x', 'occupied'],
          ['new', 'new/inside', 'denied'], ['file', 'n'.repeat(256), 'denied'],
        ] as const) {
          expect([from, to, await problem(a.files.rename(`${at}/${from}`, `${at}/${to}`))]).toEqual([from, to, kind]);
        }
        for (const [from, to, kind] of [['/home/user', '/tmp/x', 'denied'], ['/', `${at}/x`, 'denied'], ['/etc/passwd', `${at}/x`, 'denied'], [`${at}/file`, '/etc/x', 'denied'], [`${at}/file`, '/', 'occupied'], ['/proc/self/environ', `${at}/x`, 'denied']] as const) {
          expect([from, to, await problem(a.files.rename(from, to))]).toEqual([from, to, kind]);
        }
        expect(await sh('cat file; ls -A; ls -A empty')).toBe('fileempty\nfile\nnew\nto-dir\n');
        expect(await a.files.rename(`${at}/file`, `${at}/file`)).toMatchObject({ name: 'file', size: 4 });
        expect(await a.files.rename(`${at}/file`, `${at}/to-dir`)).toMatchObject({ type: 'file' }); // the link is replaced, not what it leads to
      });

      test('rename takes a file or a link to another mount, and refuses a directory', async () => {
        await sh('head -c 3M /dev/urandom > file; chmod 750 file; touch -d 2001-02-03T04:05:06Z file; cp file copy; ln -s somewhere link; mkdir dir; touch dir/in; echo old > /tmp/replaced');
        expect(await a.files.rename(`${at}/file`, '/tmp/replaced')).toMatchObject({ path: '/tmp/replaced', size: 3 * MIB, mode: 0o750, modifiedMs: Date.UTC(2001, 1, 3, 4, 5, 6) });
        expect(await sh('cmp /tmp/replaced copy; ls -A; rm copy; ls -A /tmp')).toBe('copy\ndir\nlink\nreplaced\n');
        expect(await a.files.rename('/tmp/replaced', `${at}/made/back`)).toMatchObject({ size: 3 * MIB });
        expect(await a.files.rename(`${at}/link`, '/tmp/link')).toMatchObject({ type: 'symlink', symlinkTarget: 'somewhere' });
        await expect(a.files.rename(`${at}/dir`, '/tmp/dir')).rejects.toMatchObject({ kind: 'denied', message: 'Only files and links can be moved to another file system of the sandbox' });
        expect(await problem(a.files.rename('/usr/bin/env', `${at}/env`))).toBe('denied');
        expect(await sh('ls -A . dir /tmp; rm /tmp/link')).toBe('.:\ndir\nmade\n\n/tmp:\nlink\n\ndir:\nin\n');
      });

      test('remove takes a file, a link and a directory with all in it, and follows nothing', async () => {
        await sh('mkdir -p tree/a/b/c outside; touch outside/kept tree/a/f tree/a/b/f; ln -s ../outside tree/link; ln -s ../../outside tree/a/link; ln -s outside link; touch file; mkfifo tree/pipe; mkdir empty; mkdir -p closed/in; touch closed/in/f; chmod 555 closed/in');
        for (const path of ['file', 'link', 'empty', 'tree']) await a.files.remove(`${at}/${path}`);
        expect(await sh('ls -A . outside')).toBe('.:\nclosed\noutside\n\noutside:\nkept\n');
        expect(await problem(a.files.remove(`${at}/closed`))).toBe('denied');
        expect(await sh('find closed; chmod 755 closed/in')).toBe('closed\nclosed/in\nclosed/in/f\n');
        for (const [path, kind] of [['none', 'not-found'], ['outside/kept/x', 'not-found'], ['n'.repeat(256), 'denied']] as const) expect([path, await problem(a.files.remove(`${at}/${path}`))]).toEqual([path, kind]);
        await sh('touch /tmp/kept');
        for (const path of ['/', '/home', '/home/user', '/tmp', '/dev/shm', '/etc/passwd', '/usr', '/proc', '/proc/self', '/run/gatehouse', '/opt/gatehouse/agent.cjs']) expect([path, await problem(a.files.remove(path))]).toEqual([path, 'denied']);
        expect(await sh('ls -A outside /tmp; rm /tmp/kept')).toBe('/tmp:\nkept\n\noutside:\nkept\n');
      });
    });

    describe('much', () => {
      test.each([[100, 64], [1024, 64]])('of it: %d MiB go in and out with flat memory', async (mebibytes, flatMiB) => {
        const chunk = Buffer.alloc(MIB, 'some content ');
        const before = process.memoryUsage().rss;
        const source = Readable.from((function* () { for (let sent = 0; sent < mebibytes; sent++) yield chunk; })());
        expect(await a.files.write(`${at}/much`, source)).toBe(mebibytes * MIB);
        const { size, content } = await a.files.read(`${at}/much`);
        let bytes = 0;
        for await (const received of content as AsyncIterable<Buffer>) bytes += received.length;
        expect([size, bytes]).toEqual([mebibytes * MIB, mebibytes * MIB]);
        expect(process.memoryUsage().rss - before).toBeLessThan(flatMiB * MIB);
        const peak = await agentPeakBytes();
        expect(peak).toBeGreaterThan(16 * MIB);
        expect(peak).toBeLessThan(160 * MIB);
      }, 60_000);

      test('of entries: a hundred thousand in one directory hold nobody up', async () => {
        await sh(attacks.makeEntries('many', 100_000));
        const wait = await longestWait(async () => {
          const { entries, truncated } = await a.files.list(`${at}/many`, { depth: 1, maxEntries: 10_000 });
          expect([entries.length, truncated]).toEqual([10_000, true]);
          await a.files.remove(`${at}/many`);
        });
        expect(wait).toBeLessThan(0.5);
        expect(await names(at)).toEqual([]);
      }, 60_000);

      test('of depth: three thousand levels are listed as far as asked and removed', async () => {
        await sh(attacks.nest('deep', 3_000));
        expect((await a.files.list(at, { depth: 20, maxEntries: 100 })).entries).toHaveLength(20);
        const farDown = `${at}/deep${'/deeper'.repeat(500)}`;
        expect((await a.files.list(farDown, { depth: 20, maxEntries: 100 })).entries).toHaveLength(20);
        expect(await longestWait(() => a.files.remove(`${at}/deep`))).toBeLessThan(0.5);
        expect(await names(at)).toEqual([]);
      }, 60_000);

      test('of calls: two hundred at once are all answered', async () => {
        const results = await Promise.all(Array.from({ length: 200 }, async (_, index) => {
          await a.files.write(`${at}/f${index}`, Buffer.from(String(index)));
          return read(`${at}/f${index}`);
        }));
        expect(results).toEqual(Array.from({ length: 200 }, (_, index) => String(index)));
      }, 30_000);
    });

    describe('a full disk', () => {
      test('of bytes is told, leaves nothing half, and can be cleared', () =>
        withBox(async box => {
          if (!quota) return;
          const full = { kind: 'failed', message: 'The disk of the sandbox is full' };
          const endless = () => Readable.from((function* () { for (let sent = 0; sent < 128; sent++) yield Buffer.alloc(MIB); })());
          await box.files.write('kept', Buffer.from('kept'));
          await expect(box.files.write('kept', endless())).rejects.toMatchObject(full);
          expect(await sh('ls -A; cat kept', box)).toBe('kept\nworkspace\nkept');
          await sh('head -c 8M /dev/zero > /tmp/from; cat /dev/zero > fill', box);
          await expect(box.files.rename('/tmp/from', '/home/user/to')).rejects.toMatchObject(full);
          await expect(box.files.write('small', Buffer.alloc(MIB))).rejects.toMatchObject(full);
          expect(await sh('ls -A . /tmp; stat -c %s /tmp/from', box)).toBe(`.:\nfill\nkept\nworkspace\n\n/tmp:\nfrom\n${8 * MIB}\n`);
          await box.files.rename('fill', 'moved');
          await box.files.remove('moved');
          expect(await box.files.rename('/tmp/from', '/home/user/to')).toMatchObject({ size: 8 * MIB });
        }), 60_000);

      test('of inodes is told, and can be cleared', () =>
        withBox(async box => {
          if (!quota) return;
          const full = { kind: 'failed', message: 'The disk of the sandbox is full' };
          await sh(attacks.perl('mkdir "fill"; for (my $n = 0; ; $n++) { open(my $f, ">", "fill/$n") or last } print $! + 0'), box);
          await sh('echo x > /tmp/from', box);
          await expect(box.files.write('file', Buffer.from('x'))).rejects.toMatchObject(full);
          await expect(box.files.mkdir('new/dir')).rejects.toMatchObject(full);
          await expect(box.files.rename('/tmp/from', '/home/user/to')).rejects.toMatchObject(full);
          expect(await sh('ls -A . /tmp', box)).toBe('.:\nfill\nworkspace\n\n/tmp:\nfrom\n');
          await box.files.remove('fill');
          expect(await box.files.write('file', Buffer.from('x'))).toBe(1);
        }, { diskBytes: 32 * MIB }), 60_000);
    });

    test('a sandbox that ends fails who reads and who writes', () =>
      withBox(async box => {
        await sh('head -c 32M /dev/zero > large', box);
        const { content } = await box.files.read('large');
        await content[Symbol.asyncIterator]().next();
        const source = new Readable({ read: () => undefined });
        source.push('begun');
        const writing = problem(box.files.write('half', source));
        await eventually(async () => expect((await names('/home/user', 1, box)).length).toBe(3));
        await box.stop();
        expect([await problem(buffer(content)), await writing, source.destroyed, await problem(box.files.stat('large'))]).toEqual(['unavailable', 'unavailable', true, 'unavailable']);
      }));

    describe('a sandbox that does its worst', () => {
      test('by names that climb stays inside itself', async () => {
        for (const name of ['../../../../../../../../tmp/up', '/tmp/absolute', './../x/../../../tmp/dots', '....//tmp', '..\\..\\back']) await a.files.write(`${at}/${name}`, Buffer.from('zip-slip'));
        expect(await sh('ls -A /tmp; rm /tmp/up /tmp/dots')).toBe('dots\nup\n');
      });

      test('by swapping a directory with a link gets nothing from outside, and no file gets out', async () => {
        const outside = join(subject.directories[0] as string, 'outside');
        mkdirSync(outside, { recursive: true, mode: 0o777 });
        writeFileSync(join(outside, 'file'), 'of the host', { mode: 0o666 });
        await sh('mkdir d; printf inside > d/file');
        const swapping = await a.spawn({ run: { command: attacks.swapWithLink(`${at}/d`, outside) }, timeoutMs: 60_000 });
        const met = new Map<string, number>();
        const note = (what: string) => met.set(what, (met.get(what) ?? 0) + 1);
        for (let round = 0; round < 1_000; round++) {
          await Promise.all([
            read(`${at}/d/file`).then(note, (error: { kind: string }) => note(error.kind)),
            a.files.write(`${at}/d/written`, Buffer.from('inside')).then(() => note('written'), (error: { kind: string }) => note(error.kind)),
            a.files.list(`${at}/d`, { depth: 3, maxEntries: 100 }).then(({ entries }) => entries.forEach(({ name }) => note(name)), (error: { kind: string }) => note(error.kind)),
            a.files.rename(`${at}/d/written`, `${at}/d/moved`).then(() => note('moved'), (error: { kind: string }) => note(error.kind)),
          ]);
        }
        swapping.kill();
        await swapping.exit;
        expect([...met.keys()].filter(what => !SAYABLE.includes(what) && !['inside', 'written', 'moved', 'file'].includes(what) && !what.startsWith('.gatehouse-'))).toEqual([]);
        for (const what of ['inside', 'written', 'not-found']) expect([what, met.get(what) ?? 0]).not.toEqual([what, 0]); // both sides had their turns
        expect(readdirSync(outside)).toEqual(['file']);
        await sh('rm -rf d d.aside');
      }, 60_000);

      test('by adding to a directory keeps nobody for ever from removing it', async () => {
        const adding = await a.spawn({ run: { command: attacks.keepAdding(`${at}/busy`) }, timeoutMs: 60_000 });
        const rounds = quota ? 10 : 2; // without a quota it grows for as long as it is let, and each round takes longer
        await eventually(async () => expect((await names(`${at}/busy`)).length).toBeGreaterThan(50));
        for (let round = 0; round < rounds; round++) expect(['passed', 'not-found', 'unavailable']).toContain(await problem(a.files.remove(`${at}/busy`)));
        for (let round = 0; round < 2 * rounds; round++) expect(['passed', 'not-found']).toContain(await problem(a.files.list(`${at}/busy`, { depth: 2, maxEntries: 10_000 })));
        adding.kill();
        await adding.exit;
        expect(await problem(a.files.remove(`${at}/busy`))).toMatch(/passed|not-found/);
        // Nothing goes on being removed out of sight: each either ended or came back.
        expect(await names(at)).toEqual([]);
      }, 60_000);

      test('by moving what is being removed loses nothing beside it', async () => {
        await sh('mkdir aside; touch aside/kept; mkdir tree; for i in $(seq 200); do mkdir -p tree/$i/a/b/c; touch tree/$i/a/b/c/f; done');
        const moving = await a.spawn({ run: { command: attacks.perl(`for (;;) { for my $d (glob "${at}/.gatehouse-*") { for my $n (1 .. 200) { rename("$d/$n/a", "${at}/aside/a$n") } } }`) }, timeoutMs: 60_000 });
        expect(SAYABLE.concat('passed', 'unavailable')).toContain(await problem(a.files.remove(`${at}/tree`)));
        moving.kill();
        await moving.exit;
        expect(await names(`${at}/aside`)).toContain('kept');
        expect(await names(at)).toEqual(['aside']);
      }, 60_000);
    });

    /** How much of the time that something large takes somebody had to wait for one small answer at most; 1 is all of it. */
    async function longestWait(act: () => Promise<void>): Promise<number> {
      const start = performance.now();
      let slowest = 0;
      let asking = true;
      const asker = (async () => {
        while (asking) {
          const begun = performance.now();
          await a.files.stat('/home/user');
          slowest = Math.max(slowest, performance.now() - begun);
        }
      })();
      await act().finally(() => (asking = false));
      const tookMs = performance.now() - start;
      await asker;
      return slowest / tookMs;
    }

    async function agentPeakBytes(): Promise<number> {
      return 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(await sh(AGENT_STATUS))?.[1]);
    }

    /** How many descriptors it had at most: the kernel makes the table larger in powers of two, and never smaller. */
    async function agentDescriptorTable(): Promise<number> {
      return Number(/^FDSize:\s+(\d+)/m.exec(await sh(AGENT_STATUS))?.[1]);
    }
  });
}

/** What the kernel tells everybody about the agent: besides pid 1 the only one that lasts and is not the command user's. */
const AGENT_STATUS = 'for p in /proc/[0-9]*; do [ $p != /proc/1 ] && [ "$(stat -c %u $p/status 2>/dev/null)" = 0 ] && cat $p/status && break; done';

async function problem(work: Promise<unknown>): Promise<string> {
  return work.then(() => 'passed', (error: { name: string; kind?: string }) => error.kind ?? String(error));
}
