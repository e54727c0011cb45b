import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { uuidV4, uuidV7 } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { createLogger } from '@gatehouse/platform';
import { eventually, expectError } from '@gatehouse/testing';
import { openTestDatabase } from '../testing/test-vault.js';
import type { AuditEvent } from './audit-event.js';
import { AuditLog } from './audit-log.js';

let database: Database;
beforeAll(() => void (database = openTestDatabase()));
afterAll(() => database.$disconnect());

const logger = createLogger({ service: 'vault', instance: 'spec', level: 'silent' });
const eventOf = (teamId: string, detail: string | null = null): AuditEvent => ({ action: 'credential.released', teamId, vaultId: uuidV4(), credentialId: uuidV4(), keyId: uuidV4(), runId: uuidV4(), sandboxId: 'box', requestId: 'r', detail });
const countOf = async (teamId: string): Promise<number> => (await database.$queryRaw<object[]>`SELECT id FROM vault.audit_events WHERE team_id = ${teamId}::uuid`).length;

describe('the audit log', () => {
  test('has an event when the write resolves, also one right after another', async () => {
    const log = new AuditLog(database, logger);
    const teamId = uuidV4();
    for (let count = 1; count <= 3; count++) {
      await log.write(eventOf(teamId));
      expect(await countOf(teamId)).toBe(count);
    }
  });

  test('writes what comes together together, each once', async () => {
    let statements = 0;
    const counted = { $executeRaw: (...args: unknown[]) => (statements++, (database.$executeRaw as (...all: unknown[]) => Promise<number>)(...args)) } as unknown as Database;
    const log = new AuditLog(counted, logger);
    const teamId = uuidV4();
    await Promise.all(Array.from({ length: 1_201 }, (_, index) => log.write(eventOf(teamId, `host-${index}`))));
    // The first alone, the others in as few as hold them.
    expect(statements).toBe(4);
    expect(await countOf(teamId)).toBe(1_201);
  });

  test('fails those whose write failed, and goes on', async () => {
    const log = new AuditLog(database, logger);
    const teamId = uuidV4();
    const first = log.write(eventOf(teamId));
    const broken = log.write({ ...eventOf(teamId), runId: 'not a uuid' });
    const together = log.write(eventOf(teamId));
    await first;
    await expect(broken).rejects.toThrow();
    await expect(together).rejects.toThrow();
    await log.write(eventOf(teamId));
    expect(await countOf(teamId)).toBe(2);
  });

  test('takes no more than it can hold while the database is silent', async () => {
    let answer = (): void => undefined;
    const silence = new Promise<void>(resolve => (answer = resolve));
    const silent = { $executeRaw: async () => (await silence, 0) } as unknown as Database;
    const log = new AuditLog(silent, logger);
    // The first is being written, the others wait.
    const waiting = Array.from({ length: 10_001 }, () => log.write(eventOf(uuidV4())));
    await expectError(Promise.resolve().then(() => log.write(eventOf(uuidV4()))), 'internal_error');
    answer();
    await Promise.all(waiting);
  });

  test('forgets events after their days', async () => {
    const teamId = uuidV4();
    const insert = (days: number) => database.$executeRaw`INSERT INTO vault.audit_events (id, team_id, action, at) VALUES (${uuidV7()}::uuid, ${teamId}::uuid, 'credential.released', now() - make_interval(days => ${days}::int))`;
    // Far in the past, so that no other spec's events are met.
    for (const days of [3_000, 2_001, 1_999]) await insert(days);
    const log = AuditLog.open(database, logger, { days: 2_000 });
    await eventually(async () => expect(await countOf(teamId)).toBe(1));
    await log.close();
  });
});
