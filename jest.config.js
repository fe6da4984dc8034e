/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  // Types are checked by `npm run lint`; here they are only stripped (isolatedModules in tsconfig.json).
  transform: { '\\.ts$': ['ts-jest', { tsconfig: 'tsconfig.json' }] },
  moduleNameMapper: { '^quanto$': '<rootDir>/lib/index.ts' },
  modulePathIgnorePatterns: ['<rootDir>/build/', '<rootDir>/dist/'],
  globalSetup: '<rootDir>/test/harness/native-tests.ts',
  testTimeout: 120_000,
  maxWorkers: 2,
};
