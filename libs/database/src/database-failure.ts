import { GatehouseError, unavailable } from '@gatehouse/contracts';
import { Prisma } from './generated/client.js';

/** Prisma codes for a database that is away, slow, or out of connections. */
const UNAVAILABLE_PRISMA = new Set(['P1000', 'P1001', 'P1002', 'P1003', 'P1008', 'P1010', 'P1011', 'P1017', 'P2024', 'P2028', 'P2034', 'P2037']);
/** SQLSTATE classes 08 (connection), 53 (resources), 57 (operator intervention, statement timeout), and lock timeout, serialisation, deadlock. */
const UNAVAILABLE_SQLSTATE = /^(08|53|57)|^(55P03|40001|40P01|25P03)$/;
/** Kinds of Prisma's driver adapters. */
const UNAVAILABLE_KIND = new Set(['AuthenticationFailed', 'ConnectionClosed', 'DatabaseAccessDenied', 'DatabaseDoesNotExist', 'DatabaseNotReachable', 'SocketTimeout', 'TlsConnectionError', 'TooManyConnections', 'TransactionWriteConflict']);
const UNAVAILABLE_SYSTEM = /Can't reach database server|\b(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN)\b|Query read timeout|timeout exceeded when trying to connect|Connection terminated|Server has closed the connection|database system is (starting up|shutting down)/i;

/** What a failed statement means to a caller: 503 when waiting can help; everything else as it was thrown. */
export const databaseFailure = (error: unknown): unknown => {
  if (error instanceof GatehouseError) return error;
  return isUnavailable(error) ? unavailable(error) : error;
};

const isUnavailable = (error: unknown, depth = 0): boolean => {
  if (typeof error !== 'object' || error === null || depth > 4) return false;
  if (error instanceof Prisma.PrismaClientInitializationError) return true;
  const { code, originalCode, kind, message, cause, meta } = error as { code?: unknown; originalCode?: unknown; kind?: unknown; message?: unknown; cause?: unknown; meta?: { driverAdapterError?: unknown } };
  if (typeof code === 'string' && (UNAVAILABLE_PRISMA.has(code) || UNAVAILABLE_SQLSTATE.test(code))) return true;
  if (typeof originalCode === 'string' && UNAVAILABLE_SQLSTATE.test(originalCode)) return true;
  if (typeof kind === 'string' && UNAVAILABLE_KIND.has(kind)) return true;
  if (typeof message === 'string' && UNAVAILABLE_SYSTEM.test(message)) return true;
  return isUnavailable(cause, depth + 1) || isUnavailable(meta?.driverAdapterError, depth + 1);
};

/** True when a statement broke a unique index: somebody else was first. */
export const isUniqueViolation = (error: unknown): boolean => error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2002';
