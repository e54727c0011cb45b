import { createServer } from 'node:net';

/** A port nobody listens on at this moment. Somebody else may take it before it is used: see `onFreePort`. */
const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/**
 * Starts something on a free port, and on another one when that was taken in between.
 *
 * @template T
 * @param {(port: number) => Promise<T>} start
 * @returns {Promise<T>}
 */
export async function onFreePort(start, attempts = 3) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePort());
    } catch (error) {
      if (attempt === attempts || !/address already in use/i.test(error.output ?? '')) throw error;
    }
  }
}

/** @returns {Promise<boolean>} whether a server could listen there now */
export const isPortFree = (host, port) =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', error => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });
