/** Addresses of the real Postgres and Redis that tests run on. */
export interface TestServices {
  readonly databaseUrl: string;
  readonly redisUrl: string;
}

/** @throws Error when the launcher has not set them: a test that cannot reach them must not pass by accident. */
export const testServices = (): TestServices => {
  const { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl } = process.env;
  if (databaseUrl === undefined || redisUrl === undefined) throw new Error('DATABASE_URL and REDIS_URL are not set: run tests with npm test or npx nx test <project>');
  return { databaseUrl, redisUrl };
};
