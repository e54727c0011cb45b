import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import util from 'node:util';

/** A file of NAME=value lines that only its owner may read: it holds keys. @param {Record<string, string>} values */
export const writeEnvFile = (file, values) => writePrivate(file, Object.entries(values).map(([name, value]) => `${name}=${value}\n`).join(''));

/** @returns {Record<string, string>} empty when there is no such file */
export const readEnvFile = file => (existsSync(file) ? util.parseEnv(readFileSync(file, 'utf8')) : {});

/** Appears whole or not at all, and never readable to others. */
export function writePrivate(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.next`, text, { mode: 0o600 });
  chmodSync(`${file}.next`, 0o600);
  renameSync(`${file}.next`, file);
}
