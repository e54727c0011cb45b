import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';

const REPOSITORY = resolve(import.meta.dirname, '../../../../..');
const APPLETS = ['sh', 'cat', 'mkfifo', 'ls', 'id', 'head', 'sleep', 'touch', 'stat', 'true'];

/** A tar of a root file system with a static busybox and nothing else: no library, no /etc, no mount point. */
export function writeBusyboxTar(path: string): void {
  const busybox = execFileSync(process.execPath, [join(REPOSITORY, 'tools/testing/busybox.mjs'), join(REPOSITORY, '.gatehouse/runtime')], { encoding: 'utf8' }).trim();
  const root = mkdtempSync(join(tmpdir(), 'gatehouse-busybox-'));
  try {
    mkdirSync(join(root, 'bin'));
    copyFileSync(busybox, join(root, 'bin/busybox'));
    for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
    execFileSync('tar', ['--create', '--file', path, '--directory', root, '.']);
  } finally {
    rmSync(root, { recursive: true });
  }
}

export interface TarEntry {
  name: string;
  type?: 'file' | 'hardlink' | 'symlink' | 'character-device' | 'directory';
  mode?: number;
  content?: string;
  linkTo?: string;
}

const TYPES = { file: '0', hardlink: '1', symlink: '2', 'character-device': '3', directory: '5' };
const BLOCK = 512;

/** A tar (POSIX.1-1988, ustar) with any entries, such as no honest program writes. */
export function writeTar(path: string, entries: readonly TarEntry[]): void {
  const blocks = entries.flatMap(({ name, type = 'file', mode = 0o644, content = '', linkTo = '' }) => {
    const header = Buffer.alloc(BLOCK);
    const fields: [at: number, text: string][] = [
      [0, name], [100, octal(mode, 7)], [108, octal(0, 7)], [116, octal(0, 7)], [124, octal(content.length, 11)], [136, octal(0, 11)],
      [148, ' '.repeat(8)], [156, TYPES[type]], [157, linkTo], [257, 'ustar\0' + '00'], [329, octal(1, 7)], [337, octal(3, 7)],
    ];
    for (const [at, text] of fields) header.write(text, at, 'latin1');
    header.write(octal(header.reduce((sum, byte) => sum + byte, 0), 6) + '\0 ', 148, 'latin1');
    const body = Buffer.alloc(Math.ceil(content.length / BLOCK) * BLOCK);
    body.write(content, 'latin1');
    return [header, body];
  });
  writeFileSync(path, Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]));
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
