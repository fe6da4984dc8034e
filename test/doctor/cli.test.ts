import { join } from 'node:path';

import { runChild } from '../harness/child';

const cli = join(__dirname, '../../lib/doctor/cli.ts');

test('doctor prints its lines, also of an emulated device', async () => {
  const { status, stdout } = await runChild(cli, ['doctor'], { environment: { QUANTO_CUDA_EMULATE: '1' } });
  expect(status).toBe(0);
  expect(stdout).toMatch(/^addon +\/.*\.node$/m);
  expect(stdout).toMatch(/^cuda +driver: CUDA .*; devices: 2 \(emulated device, .*\); cuBLASLt/m);
});

test('without a command it says how it is used', async () => {
  const { status, stderr } = await runChild(cli);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^usage: quanto doctor/);
});
