import { createServer, connect } from 'node:net';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cloneId } from '../workspace.mjs';

const ANSWER_MS = 2_000;

/**
 * A lock that the kernel frees when its holder dies, however it dies: a listening socket with a name of this clone.
 * On Linux the name is abstract (unix(7)), so there is no file to go stale.
 *
 * @param {string} purpose
 * @param {() => object} describe what the holder says about itself to who asks
 * @returns {Promise<(() => Promise<void>) | undefined>} how to free it; undefined when somebody holds it
 */
export async function acquireLock(purpose, describe = () => ({})) {
  const address = socketName(purpose);
  const release = await listen(address, describe);
  if (release || process.platform === 'linux') return release;
  // A socket file whose holder was killed stays; nobody answers there.
  if (await askHolder(purpose)) return undefined;
  rmSync(address, { force: true });
  return listen(address, describe);
}

/** @returns {Promise<object | undefined>} what the holder says about itself; undefined when nobody holds the lock */
export function askHolder(purpose) {
  return new Promise(resolve => {
    let text = '';
    const socket = connect({ path: socketName(purpose) });
    socket.setEncoding('utf8').setTimeout(ANSWER_MS, () => socket.destroy(new Error('no answer in time')));
    socket.on('data', chunk => (text += chunk));
    socket.on('end', () => resolve(JSON.parse(text || '{}')));
    socket.on('error', error => resolve(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? undefined : {}));
  });
}

function listen(address, describe) {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => {
      socket.on('error', () => socket.destroy());
      socket.end(JSON.stringify(describe()));
    });
    server.once('error', error => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
    server.listen({ path: address }, () => {
      server.unref();
      resolve(() => new Promise(done => server.close(() => done())));
    });
  });
}

const socketName = purpose => (process.platform === 'linux' ? `\0gatehouse-${cloneId}-${purpose}` : join(tmpdir(), `gatehouse-${cloneId}-${purpose}.sock`));
