import { randomUUID } from 'node:crypto';

const ACCEPTABLE = /^[A-Za-z0-9._-]{8,64}$/;

/** The caller's id for this request if it is harmless in a log, else one of ours. */
export const requestIdOf = (header: string | string[] | undefined): string => (typeof header === 'string' && ACCEPTABLE.test(header) ? header : randomUUID());
