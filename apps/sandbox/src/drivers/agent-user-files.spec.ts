import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { asUser as AsUser } from '../../agent/as-user.cjs';
import type { Processes } from '../../agent/processes.cjs';
import type { Routes as RoutesClass } from '../../agent/routes.cjs';
import type { removeFile as RemoveFile } from '../../agent/user-files.cjs';

const require = createRequire(import.meta.url);
const ofAgent = (name: string): unknown => require(resolve(import.meta.dirname, '../../dist/agent', `${name}.cjs`));
const { removeFile } = ofAgent('user-files') as { removeFile: typeof RemoveFile };
const { asUser } = ofAgent('as-user') as { asUser: typeof AsUser };
const { Routes } = ofAgent('routes') as { Routes: typeof RoutesClass };

/** By names from where they stand, whatever it is called by now, and faster than a directory with something in it is removed; bounded, should nobody end them. */
const ADDERS = '$| = 1; umask 0; fork; fork; alarm 20; print "begun"; for (my $n = 0; $n < 20000; $n++) { mkdir "$$-$n"; open(my $f, ">", "$$-$n/f") and close $f }';

jest.setTimeout(30_000); // many files take long where others work too

/** The modules of the agent in this process, which becomes the command user now and then as the agent does. */
describe("the agent's removal", () => {
  const MANY = 3_000;
  let parent: string;
  let tree: string;

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'gatehouse-removal-'));
    tree = join(parent, 'tree');
    mkdirSync(tree);
    for (const directory of [parent, tree]) chmodSync(directory, 0o777);
  });

  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  const fill = () => {
    for (let n = 0; n < MANY; n++) writeFileSync(join(tree, `f${n}`), '');
  };

  test('gives up when its time is over, and what is left comes back', async () => {
    fill();
    await expect(removeFile(tree, 5)).rejects.toMatchObject({ code: 'busy' });
    expect(readdirSync(parent)).toEqual(['tree']);
    expect(readdirSync(tree)).not.toEqual([]);
    await removeFile(tree);
    expect(readdirSync(parent)).toEqual([]);
  });

  test('waits for its turn behind others, and gives up in its time there as well', async () => {
    fill();
    const others = ['a', 'b', 'c', 'd'].map(name => join(parent, name));
    for (const other of others) {
      mkdirSync(other);
      chmodSync(other, 0o777);
      for (let n = 0; n < 500; n++) writeFileSync(join(other, `f${n}`), '');
    }
    const removed = others.map(other => removeFile(other));
    const late = removeFile(tree, 1);
    expect(existsSync(tree)).toBe(true);
    await Promise.all([...removed, expect(late).rejects.toMatchObject({ code: 'busy' })]);
    expect(readdirSync(parent)).toEqual(['tree']);
    expect(readdirSync(tree)).toHaveLength(MANY);
  });

  test('of what somebody adds to from inside for ever has an end', async () => {
    const adding = spawn('perl', ['-e', ADDERS], { cwd: tree, stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    const ended = new Promise(done => adding.once('close', done)); // when none of the three has the pipe any more
    try {
      await new Promise(begun => adding.stdout.once('data', begun));
      const end = await removeFile(tree, 500).then(() => 'removed', (error: { code: string }) => error.code);
      expect(['removed', 'busy']).toContain(end);
      expect(readdirSync(parent)).toEqual(end === 'busy' ? ['tree'] : []);
    } finally {
      process.kill(-(adding.pid as number), 'SIGKILL');
      await ended;
    }
  }, 20_000);

  test('tells why it failed, not that it could not put back what is left', async () => {
    fill();
    const removing = removeFile(tree, 5);
    chmodSync(parent, 0o555);
    await expect(removing).rejects.toMatchObject({ code: 'busy' });
  });
});

test('the agent is itself again when it cannot become the command user', () => {
  const become = jest.spyOn(process, 'seteuid').mockImplementationOnce(() => {
    throw new Error('refused');
  });
  try {
    expect(() => asUser(() => undefined)).toThrow('refused');
    expect([process.geteuid?.(), process.getegid?.()]).toEqual([0, 0]);
  } finally {
    become.mockRestore();
  }
});

test.each(['//', '/v1/none', '/v1/files/stat'])('the agent refuses a call of %s', async path => {
  const routes = new Routes({ list: () => [] } as unknown as Processes);
  const server = createServer((request, response) => void routes.answer(request, response));
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening));
  try {
    const status = await new Promise((answered, failed) => {
      get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, path, agent: false }, response => answered(response.resume().statusCode)).on('error', failed);
    });
    expect(status).toBe(400);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
