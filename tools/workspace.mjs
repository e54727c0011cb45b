import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of this clone. */
export const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));

/** Everything the tools keep between runs. Deleting it is always allowed and starts from nothing. */
export const stateDir = join(root, '.gatehouse');

/** Tells two clones on one machine apart where a name is shared: /run, abstract sockets. */
export const cloneId = createHash('sha256').update(root).digest('hex').slice(0, 10);

/** @param {string} moduleUrl import.meta.url of the asking module */
export const isMain = moduleUrl => process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(moduleUrl);
