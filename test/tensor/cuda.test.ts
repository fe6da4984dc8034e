// Why there is no cuda device: each reason in words, and the CPU untouched.
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { cudaPlugin, loadCuda } from '../../lib/tensor/cuda';
import { addonPath } from '../harness/addon';
import { childReport } from '../harness/child';

interface Report {
  readonly status: { available: boolean; reason?: string };
  readonly devices: string[];
  readonly error: { code: string; message: string } | null;
  readonly cpu: number[];
  readonly cuda: number[] | null;
  readonly description: string;
}

const ask = (environment: Record<string, string>) =>
  childReport<Report>(join(__dirname, '../cuda/children/status.ts'), [], { environment: { QUANTO_CUDA_EMULATE: '1', ...environment } });

const unavailable = (reason: RegExp) => ({
  status: { available: false, reason: expect.stringMatching(reason) as string },
  devices: ['cpu'],
  error: { code: 'DEVICE_UNAVAILABLE', message: expect.stringMatching(new RegExp(`cuda is not available: .*${reason.source}`)) as string },
  cpu: [2, 4],
});

test('without the plugin the reason says how to get it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'quanto-no-plugin-'));
  copyFileSync(addonPath, join(folder, 'quanto.node'));
  const variables = { QUANTO_ADDON: join(folder, 'quanto.node') };
  expect(await ask({ ...variables, QUANTO_CUDA_EMULATE: '' })).toMatchObject(unavailable(/no CUDA plugin .* `npm run build:cuda`/));
  expect(await ask(variables)).toMatchObject(unavailable(/asks for the emulator, but .*quanto_cuda_emu\.so is not there/));
  rmSync(folder, { recursive: true });
});

test('without a driver the reason names the version that is needed', async () => {
  expect(await ask({ QUANTO_CUDA_EMULATE_ERROR: '35' })).toMatchObject(unavailable(/no NVIDIA driver is installed; .* 580 or later/));
});

test('without a GPU the reason says so', async () => {
  expect(await ask({ QUANTO_CUDA_EMULATE_ERROR: '100' })).toMatchObject(unavailable(/the NVIDIA driver finds no GPU/));
});

test('without cuBLASLt the device works, and its description says what is missing', async () => {
  const found = await ask({});
  expect(found).toMatchObject({ status: { available: true }, devices: ['cpu', 'cuda:0', 'cuda:1'], error: null, cuda: [2, 4] });
  expect(found.description).toMatch(/cuBLASLt \d+/);
  const without = await ask({ QUANTO_CUDA_EMULATE_CUBLASLT: '0' });
  expect(without).toMatchObject({ status: { available: true }, error: null, cuda: [2, 4] });
  expect(without.description).toMatch(/cuBLASLt not found .* own kernels; install/);
});

test('QUANTO_VISIBLE_DEVICES chooses the devices', async () => {
  expect(await ask({ QUANTO_VISIBLE_DEVICES: '1' })).toMatchObject({ devices: ['cpu', 'cuda:0'], cuda: [2, 4] });
  expect(await ask({ QUANTO_VISIBLE_DEVICES: '1,0' })).toMatchObject({ devices: ['cpu', 'cuda:0', 'cuda:1'] });
  expect(await ask({ QUANTO_VISIBLE_DEVICES: '' })).toMatchObject(unavailable(/hides every device/));
  expect(await ask({ QUANTO_VISIBLE_DEVICES: '7' })).toMatchObject(unavailable(/numbers from 0 to 1, separated by commas, but got '7'/));
});

test('running out of memory is a coded error with the figures, and leaves the process alive', async () => {
  const { error, cpu } = await ask({ QUANTO_CUDA_EMULATE_MEMORY: '65536', QUANTO_TEST_LARGE: '1' });
  expect(error).toMatchObject({ code: 'OUT_OF_MEMORY', message: expect.stringMatching(/cuda:0 is out of memory with \d+ MiB/) as string });
  expect(cpu).toEqual([2, 4]);
});

test('the plugin lies beside the addon, and is looked for once', () => {
  expect(cudaPlugin().path).toMatch(/quanto_cuda(_emu)?\.so$/);
  expect(loadCuda()).toBe(loadCuda());
});
