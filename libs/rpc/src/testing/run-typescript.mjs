/**
 * `node --conditions=gatehouse-source --import run-typescript.mjs child.ts`: runs a test's child process from source, with
 * the compiler settings that the specs have. The file is both the registration (main thread) and the hooks (their own thread).
 */
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { transform } from '@swc/core';

if (isMainThread) register(import.meta.url);

const preset = await import(new URL('../../../../jest.preset.js', import.meta.url).href);
const [[, swcOptions]] = Object.values(preset.default.transform);

export const resolve = (specifier, context, next) =>
  specifier.startsWith('.') && context.parentURL?.endsWith('.ts') ? next(specifier.replace(/\.js$/, '.ts'), context) : next(specifier, context);

export const load = async (url, context, next) => {
  if (!url.endsWith('.ts')) return next(url, context);
  const filename = fileURLToPath(url);
  const { code } = await transform(await readFile(filename, 'utf8'), { ...swcOptions, filename, module: { type: 'es6' }, sourceMaps: 'inline' });
  return { format: 'module', shortCircuit: true, source: code };
};
