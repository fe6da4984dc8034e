// The CUDA plugin's kernels under the emulator: the same sources that nvcc compiles, on the CPU. It shows what they compute; how fast they
// are only a GPU can (npm run bench:cuda).
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { testBinary } from '../harness/addon';
import { childReport } from '../harness/child';

const children = join(__dirname, 'children');
const environment = { QUANTO_CUDA_EMULATE: '1' };
const nothing = { usedBytes: 0, cachedBytes: 0 };

interface Table {
  readonly checks: number;
  readonly failures: string[];
  readonly left: { usedBytes: number; cachedBytes: number };
}

test.each<[title: string, program: string, variables?: Record<string, string>]>([
  ['blocks, streams and copies work, and misuse is found', 'emulator_test'],
  ['convolutions have the bits of their steps', 'conv_test'],
  ['norms to int8 and scaled products have the bits of their steps', 'int8_test'],
  ['attention holds in every layout, and makes no score wrong by one', 'attention_test'],
  ['attention holds without tensor cores', 'attention_test', { QUANTO_CUDA_EMULATE_COMPUTE: '7' }],
  ['products with few-bit weights hold, and no slot is empty by mistake', 'linear_bits_test'],
])('%s', async (_, program, variables = {}) => {
  const { stdout } = await promisify(execFile)(testBinary(program), { env: { ...process.env, LD_PRELOAD: undefined, ...variables } });
  expect(stdout).toMatch(/\b[1-9]\d* passed, 0 failed/);
});

test.each([
  ['with cuBLASLt', environment, 'threads'],
  [
    'without cuBLASLt',
    { ...environment, QUANTO_CUDA_EMULATE_CUBLASLT: '0' },
    'threads,arguments,transposed,expanded,gradient strided,empty',
  ],
])(
  'every case of the table holds %s, and no device memory is left',
  async (_, variables, skipped) => {
    const { checks, failures, left } = await childReport<Table>(join(children, 'table.ts'), [skipped], {
      environment: variables,
      timeout: 300,
    });
    expect(failures).toEqual([]);
    expect(checks).toBeGreaterThan(2000);
    expect(left).toEqual(nothing);
  },
  310_000,
);

test('float, calibrated and frozen models move there and back', async () => {
  const report = await childReport<Record<string, unknown>>(join(children, 'models.ts'), [], { environment, timeout: 120 });
  expect(report).toMatchObject({ devices: ['cuda:0'], floatBack: true, learns: true, frozenBack: true, packedBack: true, left: nothing });
  expect(report.float).toBeLessThan(1e-5);
  // One step of an activation's codes is 1/127 of the largest value: sums that round apart may move one.
  expect(report.frozen).toBeLessThan(0.02);
  // A layer of a residual network is one call, and its packed weights change their form on the way.
  expect(report).toMatchObject({
    residualFloatCalls: ['conv2dFused'],
    residualFloatBack: true,
    residualMoveCalls: ['packWeight', 'unpackWeight'],
    residualFrozenCalls: ['conv2dInt8'],
    residualFrozenBack: true,
    residualPackedBack: true,
  });
  expect(report.residualFloat).toBeLessThan(1e-5);
  expect(report.residualFrozen).toBeLessThan(0.02);
});

test('the MNIST demo runs on it', async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...['-r', join(__dirname, '../harness/register.cjs'), '-r', join(__dirname, '../examples/quanto-from-sources.ts')],
      ...[
        join(__dirname, '../../examples/mnist/index.ts'),
        '--quick',
        '--images',
        '12',
        '--batch',
        '4',
        '--epochs',
        '1',
        '--device',
        'cuda',
      ],
    ],
    { env: { ...process.env, ...environment } },
  );
  expect(stdout).toMatch(/quanto .* on cuda/);
  // Frozen and loaded models recognize the same images.
  const shares = [...stdout.matchAll(/([\d.]+) % of the test images recognized/g)].map(([, share]) => share);
  expect(shares).toHaveLength(6);
  expect(shares[5]).toBe(shares[4]);
}, 240_000);
