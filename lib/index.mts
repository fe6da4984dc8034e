// The CommonJS build under its ES module name: one copy of the library, however it is loaded.
export * from './index.js';
