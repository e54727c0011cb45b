import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { TOOL_ENV } from './run-tool.js';

/** Where a program is that is called by its path, or by a name on the PATH that programs of the host are given here. */
export async function findProgram(program: string): Promise<string | undefined> {
  const candidates = program.includes('/') ? [resolve(program)] : TOOL_ENV.PATH.split(':').map(directory => join(directory, program));
  for (const path of candidates) if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
  return undefined;
}
