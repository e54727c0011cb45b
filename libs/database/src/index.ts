export * from './database.js';
export * from './database-failure.js';
export { Prisma } from './generated/client.js';
