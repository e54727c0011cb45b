/** Ends what jest-global-setup.mjs started. */
export default async function jestGlobalTeardown() {
  await globalThis.endGatehouseTestServices?.();
}
