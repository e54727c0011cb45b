import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { uuidV7 } from '@gatehouse/contracts';
import { type Database, openDatabase } from '@gatehouse/database';
import { testServices } from '@gatehouse/testing';
import { KeysStore } from './keys.store.js';

let database: Database;
beforeAll(() => void (database = openDatabase({ url: testServices().databaseUrl, applicationName: 'keys-spec' })));
afterAll(() => database.$disconnect());

test('of a hundred who make one team at once all get the same', async () => {
  const store = new KeysStore(database);
  const name = `team-${uuidV7()}`;
  const teams = await Promise.all(Array.from({ length: 100 }, () => store.team(name, uuidV7())));
  expect(new Set(teams.map(({ id }) => id)).size).toBe(1);
  expect(await store.team(name, uuidV7())).toEqual(teams[0]);
});
