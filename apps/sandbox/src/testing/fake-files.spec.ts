import { beforeEach, expect, test } from '@jest/globals';
import { text } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { FakeFiles } from './fake-files.js';

let files: FakeFiles;
beforeEach(() => {
  files = new FakeFiles();
});

const names = async (path: string, depth = 1) => (await files.list(path, { depth, maxEntries: 100 })).entries.map(entry => entry.path);

test('keeps what is written, below directories it makes', async () => {
  expect(await files.write('a/b', Readable.from([Buffer.from('con'), Buffer.from('tent')]))).toBe(7);
  const { size, content } = await files.read('/home/user/a/b');
  expect([size, await text(content)]).toEqual([7, 'content']);
  expect(await files.stat('a')).toMatchObject({ name: 'a', path: '/home/user/a', type: 'dir' });
  expect([await names('a'), await names('/home', 2)]).toEqual([['/home/user/a/b'], ['/home/user', '/home/user/a', '/home/user/workspace']]);
  expect([await files.mkdir('a'), await files.mkdir('c')]).toEqual([false, true]);
});

test('moves and removes with all that is below', async () => {
  await files.write('a/b', Buffer.from('x'));
  expect(await files.rename('a', 'new/a')).toMatchObject({ path: '/home/user/new/a', type: 'dir' });
  expect(await names('new', 3)).toEqual(['/home/user/new/a', '/home/user/new/a/b']);
  await files.remove('new');
  await expect(files.stat('new/a/b')).rejects.toMatchObject({ kind: 'not-found' });
});

test('refuses as the real one does', async () => {
  await files.write('file', Buffer.from('four'));
  await files.mkdir('dir');
  for (const [work, kind] of [
    [files.read('none'), 'not-found'], [files.read('dir'), 'wrong-kind'], [files.list('file', { depth: 1, maxEntries: 1 }), 'wrong-kind'], [files.write('dir', Buffer.from('x')), 'occupied'],
    [files.write('file/x', Buffer.from('x')), 'occupied'], [files.mkdir('file'), 'occupied'], [files.rename('file', 'dir'), 'occupied'], [files.rename('dir', 'dir/in'), 'denied'],
    [files.remove('/home/user'), 'denied'], [files.write('new', Buffer.from('four'), { maxBytes: 3 }), 'too-large'],
  ] as const) {
    await expect(work).rejects.toMatchObject({ name: 'DriverError', kind });
  }
  expect(await files.list('/', { depth: 20, maxEntries: 2 })).toMatchObject({ truncated: true, entries: [{ path: '/home' }, { path: '/home/user' }] });
});
