import { chmodSync, closeSync, unlinkSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { HOME } from './as-user.cjs';
import type { CommandProcess, CommandSpec } from './command-process.cjs';
import { ExecConnection } from './exec-connection.cjs';
import { Failure } from './failure.cjs';
import { PipeStock } from './pipe-stock.cjs';
import { Processes } from './processes.cjs';
import { Routes } from './routes.cjs';

/**
 * The agent: runs inside every sandbox as its root with three capabilities and does what the service asks over one unix
 * socket, as the command user. It reads no file of the user's and holds no secret.
 */
const SOCKET = process.env.GATEHOUSE_AGENT_SOCKET ?? '/run/gatehouse/agent.sock';
const ATTACH = /^\/v1\/processes\/([\w-]{1,64})\/attach$/;
const BASE_ENV = { PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin', LANG: process.env.LANG ?? 'C.UTF-8', HOME, USER: 'user', LOGNAME: 'user', SHELL: '/bin/bash' };

const pipes = new PipeStock();
const processes = new Processes(pipes);
const routes = new Routes(processes);
let execs = 0;

const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }, (request, response) => void routes.answer(request, response));

/** A peer that closed its half is gone: without this a killed service would leave its commands running. */
server.on('connection', socket => socket.on('end', () => socket.destroy()));

server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
  const path = request.url ?? '';
  const attachTo = ATTACH.exec(path)?.[1];
  if (request.headers.upgrade !== 'gatehouse-exec/1' || (path !== '/v1/exec' && !attachTo)) return socket.destroy();
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: gatehouse-exec/1\r\n\r\n');
  const connection = new ExecConnection(socket, processes, attachTo ? offsets => follow(attachTo, offsets) : run);
  if (head.length > 0) connection.receive(head);
});

async function run(specification: unknown): Promise<{ command: CommandProcess; stdoutFrom: number; stderrFrom: number }> {
  const spec = specification as Omit<CommandSpec, 'id'> & { id?: string };
  const env = { ...BASE_ENV, ...routes.env, ...spec.env };
  const command = await processes.start({ ...spec, id: spec.id ?? `exec-${++execs}`, env });
  return { command, stdoutFrom: 0, stderrFrom: 0 };
}

async function follow(id: string, offsets: unknown): Promise<{ command: CommandProcess; stdoutFrom: number; stderrFrom: number }> {
  const command = processes.find(id);
  if (!command?.keep) throw new Failure('not-found', 'no kept process of this id');
  return { command, ...(offsets as { stdoutFrom: number; stderrFrom: number }) };
}

/** One byte on a descriptor the service left open for it. Runtimes that cannot pass one on set no number. */
function announceReady(): void {
  const fd = Number(process.env.GATEHOUSE_READY_FD);
  if (!fd) return;
  writeSync(fd, 'r');
  if (fd > 2) closeSync(fd); // the runtime of Node does not live without its first three
}

process.umask(0o022);
try {
  unlinkSync(SOCKET);
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
server.listen(SOCKET, 511, () => {
  chmodSync(SOCKET, 0o600);
  announceReady();
  void pipes.refill().catch(() => undefined); // the first command meets the error
});
