import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** The answer that a connection is waiting for, or null. Node keeps it at the socket, and the next one in its place when it has ended. */
export const owedAnswer = (socket: Socket): ServerResponse | null => (socket as Socket & { readonly _httpMessage?: ServerResponse | null })._httpMessage ?? null;
