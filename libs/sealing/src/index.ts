export * from './envelope-broken.js';
export * from './envelope.js';
export * from './key-ring.js';
export * from './sealed-box.js';
