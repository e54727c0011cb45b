export * from './eventually.js';
export * from './expect-error.js';
export * from './raw-http.js';
export * from './services.js';
