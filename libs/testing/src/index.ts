export * from './eventually.js';
export * from './expect-error.js';
export * from './own-database.js';
export * from './raw-http.js';
export * from './services.js';
export * from './redis-process.js';
export * from './tcp-gate.js';
export * from './system.js';
