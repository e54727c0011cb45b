import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { BLOB_BYTES_MAX, type ByteFormat, type ErrorCode, GatehouseError } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { createLogger } from '@gatehouse/platform';
import { ByteStreams, HeldElsewhere, InMemoryBus, newStreamRef } from '@gatehouse/rpc';
import { eventually, expectError } from '@gatehouse/testing';
import { DriverError, type DriverErrorKind } from '../drivers/driver-error.js';
import type { LocalDriver } from '../drivers/local/local.driver.js';
import { expectNothingLeft, makeLocalNode } from '../drivers/testing/local-node.js';
import { HeldSandboxes } from '../sandboxes/held-sandboxes.js';
import { SandboxesStore } from '../sandboxes/sandboxes.store.js';
import { assembleNode, call, definition, makeCaller, makeNode, openTestDatabase, request, type TestNode } from '../testing/test-node.js';
import { gate, makeTeam, type TestTeam } from '../testing/test-team.js';
import { FilesService } from './files.service.js';
import { RunningTransfers } from './running-transfers.js';

const logger = createLogger({ service: 'sandbox', instance: 'files', level: 'fatal' });
const streams = new ByteStreams({ bus: new InMemoryBus(), transportKey: randomBytes(32), logger });
let database: Database;
beforeAll(() => {
  database = openTestDatabase();
});
afterAll(async () => {
  await streams.close();
  await database.$disconnect();
});

const filesOn = (node: Pick<TestNode, 'boxes' | 'nodeId'>, limits = { nodeMax: 4, teamMax: 2 }): FilesService =>
  new FilesService(new HeldSandboxes(new SandboxesStore(database), node.boxes, node.nodeId), new RunningTransfers(limits), streams);

/** What the gateway does for a client. */
const transfers = (files: FilesService, caller: TestTeam['caller'], id: string) => ({
  upload: async (path: string, content: Readable, format: ByteFormat = 'stream') => {
    const stream = newStreamRef();
    const sending = streams.send(stream, content).catch(() => undefined);
    const written = await files.upload(caller, { id, path, format, stream }, call).finally(() => content.destroy());
    await sending;
    return written;
  },
  download: async (path: string, format: ByteFormat = 'stream') => {
    const stream = newStreamRef();
    const bytes = streams.receive(stream);
    const [content, { size }] = await Promise.all([
      buffer(bytes),
      files.download(caller, { id, path, format, stream }, call).catch((error: Error) => {
        bytes.destroy(error);
        throw error;
      }),
    ]);
    expect(Number(content.readBigUInt64BE())).toBe(size);
    return content.subarray(8);
  },
});

describe('files', () => {
  let node: TestNode;
  let team: TestTeam;
  let files: FilesService;
  let id: string;
  let upload: ReturnType<typeof transfers>['upload'];
  let download: ReturnType<typeof transfers>['download'];
  beforeEach(async () => {
    node = makeNode(database);
    team = await makeTeam(database, node);
    files = filesOn(node);
    ({ id } = await team.create());
    ({ upload, download } = transfers(files, team.caller, id));
  });

  const everyCall = (caller = team.caller, service = files): [string, () => Promise<unknown>][] => [
    ['write', () => service.write(caller, { id, files: { a: '' } }, call)],
    ['upload', () => service.upload(caller, { id, path: 'a', format: 'blob', stream: newStreamRef() }, call)],
    ['read', () => service.read(caller, { id, path: 'a' })],
    ['download', () => service.download(caller, { id, path: 'a', format: 'blob', stream: newStreamRef() }, call)],
    ['delete', () => service.delete(caller, { id, path: 'a' })],
    ['list', () => service.list(caller, { id, path: 'a' })],
    ['info', () => service.info(caller, { id, path: 'a' })],
    ['exists', () => service.exists(caller, { id, path: 'a' })],
    ['mkdir', () => service.mkdir(caller, { id, path: 'a' })],
    ['rename', () => service.rename(caller, { id, oldPath: 'a', newPath: 'b' })],
  ];

  it('are written in order, each with the absolute path and its bytes', async () => {
    const written = await files.write(team.caller, { id, files: [{ path: 'a/../b.txt', content: 'ü' }, { path: '/tmp/x', content: '' }, { path: './b.txt', content: 'again' }] }, call);
    expect(written).toEqual([
      { path: '/home/user/b.txt', size: 2 },
      { path: '/tmp/x', size: 0 },
      { path: '/home/user/b.txt', size: 5 },
    ]);
    expect(await files.read(team.caller, { id, path: '../user/b.txt' })).toEqual({ path: '/home/user/b.txt', content: 'again' });
  });

  it('that were written before a failure stay, those after it are not tried', async () => {
    await files.mkdir(team.caller, { id, path: 'dir' });
    await expectError(files.write(team.caller, { id, files: [{ path: 'first', content: '1' }, { path: 'dir', content: '2' }, { path: 'third', content: '3' }] }, call), 'conflict');
    expect(await Promise.all(['first', 'third'].map(path => files.exists(team.caller, { id, path })))).toEqual([true, false]);
  });

  it('may be asked for wherever they are in the sandbox, and are told whole', async () => {
    await files.write(team.caller, { id, files: { 'd/e/f': 'x' } }, call);
    expect(await files.list(team.caller, { id, path: 'd' })).toMatchObject({ truncated: false, entries: [{ name: 'e', path: '/home/user/d/e', type: 'dir', permissions: 'drwxr-xr-x' }] });
    expect((await files.list(team.caller, { id, path: 'd', depth: 0 })).entries).toHaveLength(1);
    expect((await files.list(team.caller, { id, path: 'd', depth: 2 })).entries.map(({ path }) => path)).toEqual(['/home/user/d/e', '/home/user/d/e/f']);
    expect(await files.info(team.caller, { id, path: '/home/user/d/e/f' })).toEqual({ name: 'f', path: '/home/user/d/e/f', type: 'file', size: 1, mode: 0o644, permissions: '-rw-r--r--', owner: 'user', group: 'user', modifiedTime: '1970-01-01T00:00:00.000Z' });
    expect(await files.rename(team.caller, { id, oldPath: 'd/e/f', newPath: 'g/h' })).toMatchObject({ path: '/home/user/g/h' });
    expect([await files.mkdir(team.caller, { id, path: 'g' }), await files.mkdir(team.caller, { id, path: 'i/j' })]).toEqual([false, true]);
    await files.delete(team.caller, { id, path: 'd' });
    expect(await files.exists(team.caller, { id, path: 'd/e' })).toBe(false);
  });

  it('pass through byte for byte', async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from(Array.from({ length: 256 }, (_unused, byte) => byte)), randomBytes(3 * 1_048_576 + 7)]) {
      expect(await upload('bytes', Readable.from([bytes], { objectMode: false }))).toEqual({ path: '/home/user/bytes', size: bytes.length });
      expect(bytes.equals(await download('bytes'))).toBe(true);
      expect(bytes.equals(await download('bytes', 'blob'))).toBe(true);
    }
  });

  it('are no text and no blob beyond 10 MiB', async () => {
    await upload('limit', Readable.from([Buffer.alloc(BLOB_BYTES_MAX, 0x61)], { objectMode: false }), 'blob');
    expect((await files.read(team.caller, { id, path: 'limit' })).content).toHaveLength(BLOB_BYTES_MAX);
    expect(await download('limit', 'blob')).toHaveLength(BLOB_BYTES_MAX);
    await upload('large', Readable.from([Buffer.alloc(BLOB_BYTES_MAX + 1)], { objectMode: false }));
    for (const attempt of [() => files.read(team.caller, { id, path: 'large' }), () => download('large', 'blob')]) {
      expect((await expectError(attempt(), 'validation_error')).message).toBe('The file is larger than 10 MiB: read it with format=stream');
    }
    expect(await download('large')).toHaveLength(BLOB_BYTES_MAX + 1);
    // The service has a limit of its own: what it is sent need not come from an edge that counts.
    await expectError(upload('larger', Readable.from([Buffer.alloc(BLOB_BYTES_MAX + 1)], { objectMode: false }), 'blob'), 'invalid_request');
    expect(await files.exists(team.caller, { id, path: 'larger' })).toBe(false);
  });

  it.each(['/', '/home', '/home/user', '.', '', '..', '../..', '../../..', '/home/user/', '/home/user/..', '/home/user/x/..', '//home//user', 'workspace/../../user/.', '/tmp/../home/./user'])('cannot be deleted as %j', async path => {
    const kept = new DriverError('failed', 'The driver was asked');
    (await team.boxOf(id)).files.remove = () => Promise.reject(kept);
    const { message } = await expectError(files.delete(team.caller, { id, path }), 'validation_error');
    expect(message).toMatch(/^path must not be \/(home(\/user)?)?$/);
  });

  it('fail as the contract says, whatever was asked', async () => {
    const meanings: Readonly<Record<Exclude<DriverErrorKind, 'bad-cwd'>, [ErrorCode, number]>> = {
      'not-found': ['not_found', 404],
      'wrong-kind': ['validation_error', 400],
      denied: ['validation_error', 400],
      occupied: ['conflict', 409],
      'too-large': ['invalid_request', 400],
      'no-capacity': ['sandbox_error', 503],
      unavailable: ['sandbox_error', 503],
      'timed-out': ['sandbox_error', 503],
      failed: ['sandbox_error', 500],
    };
    const box = await team.boxOf(id);
    for (const [kind, [code, status]] of Object.entries(meanings) as [DriverErrorKind, [ErrorCode, number]][]) {
      const fail = (): Promise<never> => Promise.reject(new DriverError(kind, 'Words for the caller', new Error('words for the log')));
      Object.assign(box.files, { write: fail, read: fail, stat: fail, list: fail, mkdir: fail, rename: fail, remove: fail });
      for (const [name, attempt] of everyCall()) {
        if (name === 'exists' && kind === 'not-found') expect(await attempt()).toBe(false);
        else expect([name, (await expectError(attempt(), code)).status]).toEqual([name, status]);
      }
      if (kind === 'not-found') expect((await expectError(files.info(team.caller, { id, path: 'a' }), code)).message).toBe('File not found');
    }
  });

  it('of others, and of sandboxes that are not there, do not exist', async () => {
    for (const [, attempt] of everyCall(makeCaller())) expect((await expectError(attempt(), 'not_found')).message).toBe('Sandbox not found');
    await node.sandboxes.delete(team.caller, { id });
    for (const [, attempt] of everyCall()) expect((await expectError(attempt(), 'not_found')).message).toBe('Sandbox not found');
  });

  it('are asked for at the node that has them', async () => {
    const other = filesOn(makeNode(database));
    for (const [, attempt] of everyCall(team.caller, other)) await expect(attempt()).rejects.toEqual(new HeldElsewhere(node.nodeId));
  });

  it('wake their sandbox, which is not idle while one is on its way', async () => {
    node.timers.goOff();
    await eventually(async () => expect(await team.get(id)).toMatchObject({ status: 'stopped' }));
    const more = gate();
    const uploading = upload(
      'slow',
      Readable.from(
        (async function* () {
          yield Buffer.from('begin ');
          await more.promise;
          yield Buffer.from('end');
        })(),
        { objectMode: false },
      ),
    );
    await eventually(async () => expect(await team.get(id)).toMatchObject({ status: 'active' }));
    expect(node.timers.delays).toEqual([]);
    more.open();
    expect(await uploading).toEqual({ path: '/home/user/slow', size: 9 });
    expect(node.timers.delays).toHaveLength(1);
  });

  it('on their way are bounded, small ones are not', async () => {
    const more = gate();
    const slow = (): Readable =>
      Readable.from(
        (async function* () {
          yield Buffer.from('x');
          await more.promise;
        })(),
        { objectMode: false },
      );
    await files.write(team.caller, { id, files: { small: 'x', large: 'x'.repeat(300_000) } }, call);
    const uploads = [upload('a', slow()), upload('b', slow())];
    await eventually(async () => expect(await expectError(upload('c', Readable.from([])), 'sandbox_error')).toMatchObject({ status: 503, retryAfter: 1, message: 'Too many files are being transferred' }));
    for (const attempt of [() => download('small'), () => files.read(team.caller, { id, path: 'large' })]) expect(await expectError(attempt(), 'sandbox_error')).toMatchObject({ status: 503 });
    expect((await files.read(team.caller, { id, path: 'small' })).content).toBe('x');
    more.open();
    await Promise.all(uploads);
    expect((await download('large')).length).toBe(300_000);
  });

  it('that break off on their way in leave nothing, and say why', async () => {
    const broken = Readable.from(
      (async function* () {
        yield Buffer.alloc(100_000);
        throw new GatehouseError('invalid_request', 'The request ended before it was complete');
      })(),
      { objectMode: false },
    );
    expect((await expectError(upload('broken', broken), 'invalid_request')).message).toBe('The request ended before it was complete');
    expect(await files.exists(team.caller, { id, path: 'broken' })).toBe(false);
  });

  it('that nobody takes any more are let go of', async () => {
    await upload('large', Readable.from([randomBytes(8 * 1_048_576)], { objectMode: false }));
    const box = await team.boxOf(id);
    const opened: Readable[] = [];
    const { read } = box.files;
    box.files.read = async path => {
      const file = await read.call(box.files, path);
      opened.push(file.content);
      return file;
    };
    const stream = newStreamRef();
    const bytes = streams.receive(stream);
    const sending = files.download(team.caller, { id, path: 'large', format: 'stream', stream }, call);
    await new Promise(resolve => bytes.once('data', resolve));
    bytes.destroy();
    await sending;
    await files.read(team.caller, { id, path: 'large' });
    await expectError(files.download(team.caller, { id, path: 'large', format: 'blob', stream: 'no name of a stream' }, call), 'internal_error');
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true, true, true]);
  });
});

describe('files in a real container', () => {
  const local = makeLocalNode();
  const caller = makeCaller();
  let driver: LocalDriver;
  let node: ReturnType<typeof assembleNode<LocalDriver>>;
  let files: FilesService;
  let id: string;
  beforeAll(async () => {
    driver = await local.open();
    node = assembleNode(database, driver, { nodeId: local.options.nodeId });
    files = filesOn(node);
    await node.agents.put(caller, definition('reviewer'), call);
    ({ id } = await node.sandboxes.create(caller, request({ agent: 'reviewer' }), call));
  }, 60_000);
  afterAll(async () => {
    await node.sandboxes.delete(caller, { id });
    await driver.close();
    expectNothingLeft(local);
    local.remove();
  }, 60_000);

  const exec = async (command: string): Promise<string> => (await node.sandboxes.exec(caller, { id, command })).stdout;

  it('are those that commands see, and belong to the same user', async () => {
    const { upload, download } = transfers(files, caller, id);
    const bytes = randomBytes(2_000_003);
    expect(await upload('dir/bytes', Readable.from([bytes], { objectMode: false }))).toEqual({ path: '/home/user/dir/bytes', size: bytes.length });
    expect(await exec('stat -c "%U %a %s" dir/bytes; chmod 4755 dir/bytes; ln -s bytes dir/link; mkfifo dir/pipe')).toBe('user 644 2000003\n');
    expect(bytes.equals(await download('dir/link'))).toBe(true);
    expect((await files.list(caller, { id, path: 'dir' })).entries).toMatchObject([
      { name: 'bytes', type: 'file', size: 2_000_003, permissions: '-rwsr-xr-x', owner: 'user', group: 'user' },
      { name: 'link', type: 'symlink', symlinkTarget: 'bytes', permissions: 'lrwxrwxrwx' },
      { name: 'pipe', path: '/home/user/dir/pipe' },
    ]);
    expect(Object.keys(await files.info(caller, { id, path: 'dir/pipe' }))).not.toContain('type');
    expect(await files.info(caller, { id, path: '/' })).toMatchObject({ path: '/', type: 'dir' });
  }, 60_000);

  it('of no use are refused as the contract says', async () => {
    await exec('mkdir -p d/full; touch d/full/x; echo text > f');
    const refusals: [() => Promise<unknown>, ErrorCode][] = [
      [() => files.read(caller, { id, path: 'd' }), 'validation_error'],
      [() => files.read(caller, { id, path: 'nowhere' }), 'not_found'],
      [() => files.read(caller, { id, path: 'f/below' }), 'not_found'],
      [() => files.list(caller, { id, path: 'f' }), 'validation_error'],
      [() => files.list(caller, { id, path: 'nowhere' }), 'not_found'],
      [() => files.write(caller, { id, files: { d: 'x' } }, call), 'conflict'],
      [() => files.write(caller, { id, files: { 'f/below': 'x' } }, call), 'conflict'],
      [() => files.write(caller, { id, files: { '/etc/passwd': 'x' } }, call), 'validation_error'],
      [() => files.write(caller, { id, files: { [`${'n'.repeat(256)}`]: 'x' } }, call), 'validation_error'],
      [() => files.mkdir(caller, { id, path: 'f' }), 'conflict'],
      [() => files.rename(caller, { id, oldPath: 'f', newPath: 'd' }), 'conflict'],
      [() => files.rename(caller, { id, oldPath: 'nowhere', newPath: 'd' }), 'not_found'],
      [() => files.delete(caller, { id, path: 'nowhere' }), 'not_found'],
      [() => files.delete(caller, { id, path: '/etc' }), 'validation_error'],
    ];
    for (const [refusal, code] of refusals) await expectError(refusal(), code);
  }, 60_000);
});
