import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, stateDir } from '../workspace.mjs';

/**
 * What one project's tests came to. nx keeps the file with its cached result, so a project that was not run again is
 * counted as it last ran.
 *
 * @typedef {{ passed: number, failed: number, skipped: number }} Totals
 */

export const resultsDir = join(stateDir, 'test-results');

/** @param {string} project @param {Totals} totals */
export function writeTotals(project, totals) {
  mkdirSync(resultsDir, { recursive: true });
  const file = join(resultsDir, `${project}.json`);
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(totals));
  renameSync(`${file}.${process.pid}`, file);
}

/** @returns {Map<string, Totals>} by project */
export function readTotals(dir = resultsDir) {
  mkdirSync(dir, { recursive: true });
  const files = readdirSync(dir).filter(name => name.endsWith('.json')).sort();
  return new Map(files.map(name => [name.slice(0, -'.json'.length), JSON.parse(readFileSync(join(dir, name), 'utf8'))]));
}

/** @param {Iterable<Totals>} all @returns {Totals} */
export function sum(all) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const each of all) for (const key of Object.keys(total)) total[key] += each[key];
  return total;
}

/** The name nx knows a project by. @param {string} projectRoot */
export const projectName = projectRoot => JSON.parse(readFileSync(join(projectRoot, 'project.json'), 'utf8')).name;


/** The names of all projects with specs: each of them owes a result. */
export const projectsWithSpecs = () =>
  ['apps', 'libs']
    .flatMap(group => readdirSync(join(root, group)).map(name => join(root, group, name)))
    .concat([join(root, 'e2e'), join(root, 'tools')])
    .filter(folder => existsSync(join(folder, 'project.json')) && hasSpecs(folder))
    .map(projectName);

const hasSpecs = folder => readdirSync(folder, { recursive: true }).some(file => /\.(spec\.ts|test\.mjs)$/.test(file) && !file.includes('node_modules'));
