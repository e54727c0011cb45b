import './node-version.mjs';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './workspace.mjs';

const files = readdirSync(join(root, 'tools'), { recursive: true }).filter(name => name.endsWith('.test.mjs')).map(name => join('tools', name));
const reporters = [['spec', 'stdout'], ['./tools/testing/node-totals-reporter.mjs', 'stderr']];
const options = reporters.flatMap(([reporter, destination]) => [`--test-reporter=${reporter}`, `--test-reporter-destination=${destination}`]);
const { status } = spawnSync(process.execPath, ['--test', '--test-timeout=60000', ...options, ...files], { cwd: root, stdio: 'inherit' });
process.exitCode = status ?? 1;
