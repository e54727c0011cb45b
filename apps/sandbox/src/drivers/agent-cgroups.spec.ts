import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { CgroupTree as CgroupTreeClass } from '../../agent/cgroups.cjs';

const require = createRequire(import.meta.url);
const { CgroupTree } = require(resolve(import.meta.dirname, '../../dist/agent/cgroups.cjs')) as { CgroupTree: typeof CgroupTreeClass };

/** On plain directories: a leaf with a file in it stands for one with a process, for neither can be removed. */
describe("the agent's cgroups (v2)", () => {
  let root: string;
  let tree: CgroupTreeClass;
  const leaves = () => readdirSync(join(root, 'cmd'), { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => name);
  const leaf = (name: string) => join(root, 'cmd', name);

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'gatehouse-cgroups-'));
    tree = new CgroupTree(1_000_000, root);
  });

  afterEach(() => rmSync(root, { recursive: true }));

  test('limit the memory of the commands and not that of the agent', () => {
    expect(readFileSync(join(root, 'cmd/memory.max'), 'latin1')).toBe('1000000');
    expect(readdirSync(join(root, 'agent'))).toEqual([]);
  });

  test('take what was forked before the command was moved, and leave the own processes of the agent', () => {
    writeFileSync(join(root, 'agent/cgroup.procs'), '7\n8\n');
    tree.place('a', 5, new Set([7]));
    expect(readFileSync(join(leaf('a'), 'cgroup.procs'), 'latin1')).toBe('8'); // the last of two writes: 5 went first
  });

  test('of commands that ended go as soon as nobody lives in them, whenever that is', () => {
    tree.place('background', 5, new Set());
    mkdirSync(leaf('ended'));
    tree.removeEmptyLeaves();
    expect(leaves()).toEqual(['background']);
    rmSync(join(leaf('background'), 'cgroup.procs'));
    tree.place('next', 6, new Set());
    expect(leaves()).toEqual(['next']);
    expect(() => tree.removeEmptyLeaves()).not.toThrow();
  });
});
