import { readFileSync } from 'node:fs';
import { DEFAULT_MODELS, type ModelOffer } from '@gatehouse/contracts';
import { commonConfig, ConfigError, databaseConfig, flag, integer, oneOf, read, readConfig, text, textLike } from '@gatehouse/platform';
import { parseKeyRing } from '@gatehouse/sealing';
import { readModels } from './models/read-models.js';

const megabytes = integer({ min: 128, max: 1_048_576 });
const nodeId = textLike(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, '1 to 64 letters, digits, ".", "_" and "-", starting with a letter or digit');

const limitSpecs = {
  SANDBOX_MEMORY_MB: megabytes({ default: 512, desc: 'MiB of memory of a sandbox whose agent does not ask for another amount' }),
  SANDBOX_MEMORY_MB_MAX: megabytes({ default: 8_192, desc: 'MiB of memory an agent may ask for' }),
  SANDBOX_CPU_MILLIS: integer({ min: 50, max: 64_000 })({ default: 1_000, desc: 'thousandths of a core of a sandbox whose agent does not ask for another number of cores' }),
  SANDBOX_CPUS_MAX: integer({ min: 1, max: 64 })({ default: 4, desc: 'cores an agent may ask for' }),
  SANDBOX_DISK_MB: megabytes({ default: 1_024, desc: 'MiB of disk of a sandbox whose agent does not ask for another size' }),
  SANDBOX_DISK_MB_MAX: megabytes({ default: 20_480, desc: 'MiB of disk an agent may ask for' }),
  SANDBOX_PIDS: integer({ min: 128, max: 32_768 })({ default: 256, desc: 'processes and threads of a sandbox' }),
  SANDBOXES_MAX: integer({ min: 1, max: 10_000 })({ default: 100, desc: 'sandboxes that may run on this node at once' }),
  SANDBOX_POOL_SIZE: integer({ min: 0, max: 1_000 })({ default: 4, desc: 'sandboxes that are started before anybody asks for one, so that a new one is there at once; 0: none. Only with the driver local, and where disks have a quota' }),
  SANDBOX_POOL_MEMORY_MB: integer({ min: 16, max: 1_048_576 })({ default: 512, desc: 'MiB of memory they may use together; one needs about 8' }),
  SANDBOX_COMMANDS_MAX: integer({ min: 1, max: 900 })({ default: 512, desc: 'commands that may run on this node at once' }),
  SANDBOX_COMMANDS_TEAM_MAX: integer({ min: 1, max: 900 })({ default: 128, desc: 'of them, those of one team' }),
  SANDBOX_TRANSFERS_MAX: integer({ min: 1, max: 250 })({ default: 192, desc: 'large files that may be on their way into and out of sandboxes of this node at once' }),
  SANDBOX_TRANSFERS_TEAM_MAX: integer({ min: 1, max: 250 })({ default: 96, desc: 'of them, those of one team' }),
};

/** What decides how sandboxes run on a machine: all a driver is told, and all `gatehouse sandbox doctor` reads. */
export const machineSpecs = {
  NODE_ENV: commonConfig.NODE_ENV,
  ...limitSpecs,
  SANDBOX_DRIVER: oneOf('local', 'docker')({ default: 'local', desc: 'what runs sandboxes: an OCI runtime on this machine, or its Docker Engine' }),
  SANDBOX_DOCKER_HOST: textLike(/^unix:\/\/\/./, 'a unix socket, unix:///…')({ default: 'unix:///var/run/docker.sock', desc: 'socket of the Docker Engine (driver docker)' }),
  SANDBOX_RUNTIME: text({ default: 'runc', desc: 'OCI runtime: a name on PATH or a path; with the driver docker, the name of one the engine has' }),
  SANDBOX_INIT: text({ default: '/usr/bin/tini-static', desc: 'statically linked tini, pid 1 of every sandbox' }),
  SANDBOX_TEMPLATE: text({ default: 'host', desc: 'root file system of sandboxes: a template of this machine (`host` shows its own programs, for development), or an image of the Docker Engine' }),
  SANDBOX_DATA_DIR: text({ default: '/var/lib/gatehouse/sandboxes', desc: 'disks of sandboxes, kept over reboots' }),
  SANDBOX_RUN_DIR: text({ default: '/run/gatehouse', desc: 'sockets and state of running sandboxes, best on a tmpfs' }),
  SANDBOX_UID_BASE: integer({ min: 65_536, max: 4_000_000_000 })({ default: 1_073_741_824, desc: 'first of the host user ids given to sandboxes, 65536 to each; nodes that share a machine need ranges apart' }),
  SANDBOX_UNLIMITED_DISKS: flag({ default: false, desc: 'true: start in production though disks have no quota, and one sandbox may fill the disk of all' }),
};

export const sandboxConfigSpecs = {
  ...commonConfig,
  ...databaseConfig,
  ...machineSpecs,
  NODE_ID: nodeId({ desc: 'name of this node; its sandboxes stay with it, so it must be the same after every restart' }),
  SANDBOX_KEYS: read(parseKeyRing)({ desc: 'keys that encrypt environment values at rest, id:base64[,id:base64]; the first one is current' }),
  SANDBOX_STOP_ON_SHUTDOWN: flag({ default: false, desc: 'true: sandboxes end with this process instead of being taken over by the next one' }),
  MODELS_FILE: read(modelsIn)({ default: undefined, desc: 'JSON file of the models offered, in place of the built-in table' }),
};

/** @throws ConfigError naming every variable that is missing or wrong. */
export const readSandboxConfig = (environment: NodeJS.ProcessEnv) => {
  const config = readConfig(environment, sandboxConfigSpecs);
  const problems = (['SANDBOX_MEMORY_MB', 'SANDBOX_DISK_MB'] as const).filter(name => config[name] > config[`${name}_MAX`]).map(name => `${name} is greater than ${name}_MAX`);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
};
export type SandboxConfig = ReturnType<typeof readSandboxConfig>;

/** @throws ConfigError as above, for what concerns the machine alone. */
export const readMachineConfig = (environment: NodeJS.ProcessEnv) => readConfig(environment, machineSpecs);
export type MachineConfig = ReturnType<typeof readMachineConfig>;

export const modelsOf = ({ MODELS_FILE }: SandboxConfig): Readonly<Record<string, ModelOffer>> => MODELS_FILE ?? DEFAULT_MODELS;

function modelsIn(file: string): Readonly<Record<string, ModelOffer>> {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    throw new TypeError('names a file that cannot be read', { cause: error });
  }
  return readModels(content);
}
