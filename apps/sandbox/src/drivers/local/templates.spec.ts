import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectNothingLeft, makeLocalNode } from '../testing/local-node.js';
import { type TarEntry, writeBusyboxTar, writeTar } from '../testing/root-tar.js';
import { importTemplate } from './import-template.js';
import { LIMITS_MIN } from './bundle.js';

const MIB = 1024 * 1024;
const node = makeLocalNode();
const directory = mkdtempSync(join(tmpdir(), 'gatehouse-templates-'));
const templates = join(node.options.dataDir, 'templates');
const busyboxTar = join(directory, 'busybox.tar');

beforeAll(async () => {
  writeBusyboxTar(busyboxTar);
  await importTemplate(templates, 'busybox', busyboxTar);
}, 120_000);

afterAll(() => {
  expectNothingLeft(node);
  node.remove();
  rmSync(directory, { recursive: true });
});

describe('a template', () => {
  test('may have no library, no /etc and no mount point: the agent brings its own', async () => {
    const driver = await node.open({ template: 'busybox' });
    expect(await driver.probe()).toMatchObject({ ok: true, problems: [] });
    const box = await driver.create({ sandboxId: 'small', generation: 1, template: 'busybox', limits: { ...LIMITS_MIN, memoryBytes: 256 * MIB, cpuMillis: 1_000 }, env: {} });
    const run = async (command: string) => (await box.exec({ command })).stdout.toString();
    expect(await run('id -un; pwd; echo $0')).toBe('user\n/home/user\n/bin/sh\n');
    expect(await run('ls /')).toBe('bin\ndev\netc\nhome\nopt\nproc\nrun\nsys\ntmp\n');
    expect(await run('for at in / /bin /etc /home /run /opt/gatehouse; do touch $at/x 2>/dev/null && echo $at; done')).toBe('');
    expect(await run(`: ${'x'.repeat(200_000)}; echo long`)).toBe('long\n');
    await box.files.write('mine', Buffer.from('kept'));
    expect(await run('cat mine; touch /tmp/x && stat -c %U /tmp/x mine')).toBe('keptuser\nuser\n');
    await box.destroy();
    await driver.close();
  }, 30_000);

  test('is kept as it is: nobody writes over one that sandboxes stand on', async () => {
    await expect(importTemplate(templates, 'busybox', busyboxTar)).rejects.toThrow('There is a template "busybox" already');
  });

  test.each(['host', '../x', 'A', '', '.x', 'a/b'])('cannot be called %j', async name => {
    await expect(importTemplate(templates, name, busyboxTar)).rejects.toThrow('cannot name a template');
  });
});

describe('importing a tar', () => {
  const shell: TarEntry[] = [{ name: 'bin/', type: 'directory', mode: 0o755 }, { name: 'bin/sh', mode: 0o755 }, { name: 'bin/mkfifo', mode: 0o755 }];
  const importing = (name: string, entries: TarEntry[]) => {
    writeTar(join(directory, `${name}.tar`), entries);
    return importTemplate(templates, name, join(directory, `${name}.tar`));
  };

  test('gives users of the host nothing: no set-user-id, no device, nothing they may write to', async () => {
    const root = await importing('armed', [
      ...shell,
      { name: 'bin/su', mode: 0o4755 },
      { name: 'bin/wall', mode: 0o2777 },
      { name: 'srv/null', type: 'character-device', mode: 0o666 },
      { name: 'dev/null', type: 'character-device', mode: 0o666 },
      { name: 'lib/dev/kept', mode: 0o644 },
      { name: 'open/', type: 'directory', mode: 0o1777 },
    ]);
    const mode = (path: string) => (lstatSync(join(root, path)).mode & 0o7777).toString(8);
    expect([mode('bin/su'), mode('bin/wall'), mode('open'), mode('.')]).toEqual(['755', '755', '1755', '755']);
    expect([readdirSync(join(root, 'srv')), readdirSync(join(root, 'dev')), readdirSync(join(root, 'lib/dev'))]).toEqual([[], [], ['kept']]);
  });

  test('keeps users but gives id 1000 to the one commands run as', async () => {
    const passwd = 'root:x:0:0:root:/root:/bin/bash\nnode:x:1000:1000::/home/node:/bin/bash\nuser:x:1001:1001::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n';
    const root = await importing('users', [...shell, { name: 'etc/passwd', content: passwd }, { name: 'etc/resolv.conf', type: 'symlink', linkTo: '/etc/hostname' }]);
    const lines = readFileSync(join(root, 'etc/passwd'), 'utf8').trim().split('\n');
    expect(lines.filter(line => /:1000:|^user:/.test(line))).toEqual(['user:x:1000:1000:user:/home/user:/bin/sh']);
    expect(lines).toContain('postgres:x:999:999::/:/bin/sh');
    expect(readFileSync(join(root, 'etc/resolv.conf'), 'utf8')).toBe('nameserver 127.0.0.1\n');
  });

  test.each<[name: string, entries: TarEntry[]]>([
    ['dots', [...shell, { name: '../../../planted', content: 'x' }]],
    ['absolute', [...shell, { name: `${directory}/planted`, content: 'x' }]],
    ['through-a-link', [...shell, { name: 'out', type: 'symlink', linkTo: directory }, { name: 'out/planted', content: 'x' }]],
    ['over-a-link', [...shell, { name: 'etc', type: 'symlink', linkTo: directory }]],
    ['hard-link', [...shell, { name: 'shadow', type: 'hardlink', linkTo: `${directory}/victim` }]],
    ['dotted-hard-link', [...shell, { name: 'shadow', type: 'hardlink', linkTo: `../../../../..${directory}/victim` }]],
  ])('writes nothing outside the template: %s', async (name, entries) => {
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'mine', { mode: 0o600 });
    const before = readdirSync(directory);
    await importing(name, entries).catch(() => undefined); // refused, or without the part that leads out
    expect(readdirSync(directory).filter(each => each !== `${name}.tar`)).toEqual(before.filter(each => each !== `${name}.tar`));
    expect([readFileSync(victim, 'utf8'), statSync(victim).mode & 0o7777, statSync(victim).nlink]).toEqual(['mine', 0o600, 1]);
    expect(existsSync(join(templates, name, 'planted'))).toBe(false);
  });

  test.each<[problem: string, entries: TarEntry[]]>([
    ['it has no shell', []],
    ['it has no mkfifo', [{ name: 'bin/sh', mode: 0o755 }]],
    ['docker export', [{ name: 'manifest.json', content: '[]' }, { name: 'blobs/', type: 'directory', mode: 0o755 }]],
    ['/home/user cannot be made: /home is no directory', [...shell, { name: 'home', type: 'symlink', linkTo: '/etc' }]],
  ])('refuses what cannot be a root: %s', async (problem, entries) => {
    await expect(importing('unfit', entries)).rejects.toThrow(problem);
    expect(readdirSync(templates).filter(name => name === 'unfit' || name.startsWith('.'))).toEqual([]);
  });

  test('says so when the file is no tar, or not there', async () => {
    writeFileSync(join(directory, 'noise'), 'noise'.repeat(1000));
    await expect(importTemplate(templates, 'noise', join(directory, 'noise'))).rejects.toThrow('does not look like a tar archive');
    await expect(importTemplate(templates, 'noise', join(directory, 'missing'))).rejects.toThrow('There is no file');
  });
});

describe('probe', () => {
  const problemsWith = async (options: { template: string; allowHostTemplate?: boolean }) => {
    const driver = await node.open(options);
    const { ok, problems } = await driver.probe();
    await driver.close();
    expect(ok).toBe(problems.length === 0);
    return problems;
  };

  test.each([
    ['host', false, ['Template "host" shows sandboxes the programs of this machine']],
    ['host', true, []],
    ['busybox', false, []],
    ['missing', false, ['There is no template "missing"']],
    ['../../etc', true, ['There is no template "../../etc"']],
  ])('with template %s, where the host may be shown: %s', async (template, allowHostTemplate, problems) => {
    expect(await problemsWith({ template, allowHostTemplate })).toEqual(problems.map(problem => expect.stringMatching(`^${problem}.*: npm run gatehouse -- sandbox template add`)));
  }, 20_000);

  test('refuses a root that was not imported', async () => {
    mkdirSync(join(templates, 'bare/bin'), { recursive: true });
    cpSync(join(templates, 'busybox/bin'), join(templates, 'bare/bin'), { recursive: true });
    expect(await problemsWith({ template: 'bare' })).toEqual([expect.stringContaining('has no /proc, no /dev, no /sys/fs/cgroup')]);
  });

  test('where the host may not be shown, not even a start that names it gets the template of the host', async () => {
    const driver = await node.open({ template: 'busybox', allowHostTemplate: false });
    const start = driver.create({ sandboxId: 'x', generation: 1, template: 'host', limits: { ...LIMITS_MIN, memoryBytes: 256 * MIB }, env: {} });
    await expect(start).rejects.toMatchObject({ kind: 'failed', message: 'This node has no template "host"' });
    await driver.removeDisk('x');
    await driver.close();
  }, 20_000);
});
