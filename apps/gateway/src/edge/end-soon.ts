import type { Socket } from 'node:net';

/** How long a client has to take the last answer of a connection. */
const LINGER_MS = 2_000;

/** Ends a connection after its last answer. What still comes is read and dropped: closing at once, with bytes unread, would take the answer back. */
export const endSoon = (socket: Socket): void => {
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
};
