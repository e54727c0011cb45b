export * from './envelope-broken.js';
export * from './envelope.js';
export * from './key-ring.js';
export { type RunTokenPublicKeys, parseRunTokenPrivateKey, parseRunTokenPublicKeys } from './run-token-keys.js';
export * from './run-token.js';
export * from './sealed-box.js';
