import { afterAll, describe, expect, test } from '@jest/globals';
import { GatehouseError, uuidV7 } from '@gatehouse/contracts';
import { expectError, openTcpGate, testServices } from '@gatehouse/testing';
import { type Database, inTransaction, openDatabase, pingDatabase } from './database.js';
import { isUniqueViolation } from './database-failure.js';

const open = (url = testServices().databaseUrl, statementTimeoutMs = 500): Database => openDatabase({ url, applicationName: 'test', connectionsMax: 2, statementTimeoutMs, connectTimeoutMs: 500 });
const database = open();
afterAll(async () => database.$disconnect());

describe('a failing database', () => {
  test('that cannot be reached is unavailable, in and out of transactions, and is found again', async () => {
    const gate = await openTcpGate(testServices().databaseUrl);
    const behind = open(gate.url);
    try {
      await pingDatabase(behind);
      await gate.cut();
      for (const work of [pingDatabase(behind), behind.team.findMany({ take: 1 }), inTransaction(behind, async transaction => transaction.team.findMany({ take: 1 }))]) {
        expect(await expectError(work, 'internal_error')).toMatchObject({ status: 503, retryAfter: 5, message: 'Service temporarily unavailable' });
      }
      await gate.restore();
      await pingDatabase(behind);
    } finally {
      await behind.$disconnect();
      await gate.close();
    }
  });

  test('that is too slow is unavailable: every statement has a deadline', async () => {
    expect(await expectError(database.$queryRaw`SELECT pg_sleep(30)`, 'internal_error')).toMatchObject({ status: 503 });
  });

  test('a broken unique index is the caller’s to understand', async () => {
    const [id, name] = [uuidV7(), `unique-${uuidV7()}`];
    await database.team.create({ data: { id, name } });
    const error: unknown = await database.team.create({ data: { id: uuidV7(), name } }).catch((thrown: unknown) => thrown);
    expect(isUniqueViolation(error)).toBe(true);
    expect(error).not.toBeInstanceOf(GatehouseError);
  });

  test('what a transaction throws undoes it and comes out as it is', async () => {
    const name = `undone-${uuidV7()}`;
    const work = inTransaction(database, async transaction => {
      await transaction.team.create({ data: { id: uuidV7(), name } });
      throw new GatehouseError('conflict', 'on purpose');
    });
    expect(await expectError(work, 'conflict')).toMatchObject({ message: 'on purpose' });
    expect(await database.team.findUnique({ where: { name } })).toBeNull();
  });
});
