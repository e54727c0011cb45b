import type { FastifyReply, FastifyRequest } from 'fastify';
import { endSoon } from './end-soon.js';

/** A rest that is at most so long is read and dropped, and the connection goes on. */
const REST_BYTES_MAX = 64 * 1_024;

/** Ends the connection after an answer to a request of which not everything was read: nobody will read the rest. */
export const endAfter = ({ raw }: FastifyRequest, reply: FastifyReply): void => {
  const { socket } = reply.raw;
  if (raw.complete || socket === null || socket.destroyed) return;
  if (Number(raw.headers['content-length'] ?? Infinity) <= REST_BYTES_MAX && reply.getHeader('connection') !== 'close') return;
  void reply.header('connection', 'close');
  // Node calls it when the last answer of a connection is written.
  socket.destroySoon = () => {
    raw.resume();
    endSoon(socket);
  };
};
