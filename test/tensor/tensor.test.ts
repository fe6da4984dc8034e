import { setTimeout } from 'node:timers/promises';

import { arange, indexSelect, ones, tensor, zeros } from '../../lib/ops';
import { buffer, Parameter, type Tensor } from '../../lib/tensor/tensor';
import { expectError } from '../harness/errors';

test('a tensor tells its shape, dtype, device and size', () => {
  const x = zeros([2, 3], { dtype: 'int8' });
  expect([x.shape, x.dtype, x.device, x.ndim, x.numel, x.isQuantized]).toEqual([[2, 3], 'int8', 'cpu', 2, 6, false]);
  expect(tensor(5).shape).toEqual([]);
  expect(tensor(5).numel).toBe(1);
  expect(() => (x.shape as number[]).push(1)).toThrow('not extensible');
});

test('data and bytes give row-major copies, also of views', async () => {
  const x = tensor([[1, 2, 3], [4, 5, 6]]); // prettier-ignore
  expect(await x.t().data()).toEqual(new Float32Array([1, 4, 2, 5, 3, 6]));
  expect(x.slice(1, 1).dataSync()).toEqual(new Float32Array([2, 3, 5, 6]));
  expect(x.slice(1, 0, 1).bytesSync()).toEqual(new Uint8Array(new Float32Array([1, 4]).buffer));
  expect(await x.bytes()).toHaveLength(24);
  const data = x.dataSync();
  data[0] = 99;
  expect(x.select(0, 0).select(0, 0).item()).toBe(1);
});

test('int64 and bool come in the arrays that hold them', () => {
  expect(tensor([2n ** 62n, -1n]).dataSync()).toEqual(new BigInt64Array([2n ** 62n, -1n]));
  expect(tensor([true, false]).dataSync()).toEqual(new Uint8Array([1, 0]));
});

test('the event loop runs while data() waits', async () => {
  const x = ones([700, 700]);
  let y = x;
  for (let i = 0; i < 12; i++) y = y.matmul(x).mul(1 / 700);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const data = await y.data();
  await setTimeout(5);
  clearInterval(timer);
  expect(data[0]).toBeCloseTo(1, 4);
  expect(ticks).toBeGreaterThan(0);
});

test('an error of a kernel reaches whoever reads what was computed from it', async () => {
  const bad = indexSelect(ones([3]), 0, tensor([5], { dtype: 'int64' })).add(1);
  expectError(() => bad.dataSync(), 'INDEX_OUT_OF_RANGE', /\[indexSelect\]/);
  await expect(bad.data()).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' });
  await expect(bad.mul(2).bytes()).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' });
  // Other tensors are well.
  expect(ones([1]).item()).toBe(1);
});

test('a disposed tensor is refused everywhere', async () => {
  const x = tensor([1]);
  x.dispose();
  expect(x.isDisposed).toBe(true);
  for (const use of [() => x.shape, () => x.add(1), () => x.dataSync(), () => x.detach(), () => x.sum()]) expectError(use, 'DISPOSED');
  await expect(x.data()).rejects.toMatchObject({ code: 'DISPOSED' });
  expect(() => x.dispose()).not.toThrow();
});

test('a read under way outlives dispose()', async () => {
  const x = arange(1000).to('float32').mul(2);
  const reading = x.data();
  x.dispose();
  expect((await reading)[999]).toBe(1998);
});

test('using disposes at the end of the block', () => {
  let held: Tensor;
  {
    using x = tensor([1]);
    held = x;
    expect(held.item()).toBe(1);
  }
  expect(held.isDisposed).toBe(true);
});

test('roles say what a module uses a tensor for', () => {
  expect(tensor([1]).role).toBeNull();
  expect(new Parameter(tensor([1])).role).toBe('parameter');
  const running = buffer(tensor([1]));
  expect([running.role, running.kept]).toEqual(['buffer', true]);
});

test('replaceBy takes over contents and keeps identity', () => {
  const x = new Parameter(tensor([1, 2]));
  x.replaceBy(tensor([[3], [4]], { dtype: 'float16' })); // prettier-ignore
  expect([x.shape, x.dtype, x.tolist(), x.requiresGrad]).toEqual([[2, 1], 'float16', [[3], [4]], true]);
});

test('a value that the host knows is forgotten when the tensor is written to', () => {
  const scale = tensor([0.5]);
  expect(scale.hostValue).toBe(0.5);
  expect(scale.share().hostValue).toBe(0.5);
  scale.fill_(2);
  expect(scale.hostValue).toBeUndefined();
  scale.setHostValue(2);
  expect(scale.hostValue).toBe(2);
  expect(tensor([1, 2]).hostValue).toBeUndefined();
});

test('dequantize returns a float tensor itself', () => {
  const x = tensor([1]);
  expect(x.dequantize()).toBe(x);
  expect(x.parts()).toEqual([x]);
});
