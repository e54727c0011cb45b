import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeEnvFile } from '../env-file.mjs';
import { stateDir } from '../workspace.mjs';

/** Where the running development services are and what protects their transport, for commands beside them. Gone when they are stopped. */
export const runtimeEnvFile = join(stateDir, 'runtime.env');

/** @param {Record<string, string>} services */
export const writeRuntimeEnv = services => writeEnvFile(runtimeEnvFile, services);

export const removeRuntimeEnv = () => rmSync(runtimeEnvFile, { force: true });
