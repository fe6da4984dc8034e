// The stream: kernels run in order, failures travel with the data, nobody but a reader waits.
import { join } from 'node:path';

import { native } from '../../lib/native';
import { add, full, gather, matmul, mul, ones, sum, tensor, zeros } from '../../lib/ops';
import { memory, synchronize } from '../../lib/tensor/device';
import { type Tensor } from '../../lib/tensor/tensor';
import { runChild } from '../harness/child';
import { coded } from '../harness/errors';
import { settledMemory } from '../harness/memory';

const child = (name: string): string => join(__dirname, 'children', `${name}.ts`);

/** Keeps the stream busy for some milliseconds, so that whatever follows is queued. */
function occupyStream(): Tensor {
  const a = ones([512, 512]);
  let product = a;
  for (let i = 0; i < 4; i++) product = mul(matmul(product, a), 1 / 512);
  return product;
}

/** Larger than the address space: no system gives it, however generous. */
const impossible = (): Tensor => full([2 ** 45], 1);

describe('order', () => {
  test('in-place changes take effect between the ops around them', async () => {
    const x = zeros([64]);
    const seen: Tensor[] = [];
    occupyStream();
    for (let i = 0; i < 100; i++) {
      x.add_(1);
      seen.push(x.clone());
    }
    const values = await Promise.all(seen.map((value) => value.data()));
    expect(values.map((value) => value[63])).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });

  test('more ops than the queue holds', async () => {
    const x = zeros([16]);
    occupyStream();
    // Three times the slots of the ring: the caller waits for room and nothing is lost.
    for (let i = 0; i < 3 * 4096; i++) x.add_(1);
    expect((await x.data())[15]).toBe(3 * 4096);
  });

  test('reads settle in the order they were asked for', async () => {
    const order: number[] = [];
    const large = full([1 << 20], 1);
    occupyStream();
    const reads = Array.from({ length: 20 }, (_, i) => (i % 3 === 0 ? add(large, i) : full([2], i)).data().then(() => order.push(i)));
    await Promise.all(reads);
    expect(order).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  test('an op returns before its kernel has run, and synchronize waits for it', () => {
    occupyStream();
    synchronize();
    const a = ones([1024, 1024]);
    synchronize();
    const start = process.hrtime.bigint();
    const products = Array.from({ length: 10 }, () => matmul(a, a));
    const issued = process.hrtime.bigint();
    synchronize();
    const done = process.hrtime.bigint();
    expect(products).toHaveLength(10);
    expect(issued - start).toBeLessThan((done - start) / 2n);
  });
});

describe('failures', () => {
  test('reach every reader of what was computed from them, and nobody else', async () => {
    const failed = gather(tensor([1, 2, 3]), 0, tensor([0n, 7n]));
    const message = /\[gather\] expected every index to lie within/;
    const derived = sum(mul(add(failed, 1), tensor([1, 2])));
    expect(() => failed.dataSync()).toThrow(coded('INDEX_OUT_OF_RANGE', message));
    expect(() => derived.item()).toThrow(coded('INDEX_OUT_OF_RANGE', message));
    await expect(derived.data()).rejects.toEqual(coded('INDEX_OUT_OF_RANGE', message));
    await expect(failed.reshape([2, 1]).data()).rejects.toEqual(coded('INDEX_OUT_OF_RANGE', message));
    expect([...(await add(tensor([1, 2]), 1).data())]).toEqual([2, 3]);
  });

  test('leave the destination of an in-place op intact', async () => {
    const x = tensor([1, 2]);
    const failed = gather(tensor([1, 2, 3]), 0, tensor([0n, -1n]));
    x.add_(failed);
    x.copy_(failed);
    expect([...(await x.data())]).toEqual([1, 2]);
    x.add_(tensor([1, 1]));
    expect([...(await x.data())]).toEqual([2, 3]);
  });

  test('memory that no system has', async () => {
    const held = settledMemory().bytes;
    const vast = impossible();
    const message = /\[full\] cpu is out of memory/;
    expect(() => vast.dataSync()).toThrow(coded('OUT_OF_MEMORY'));
    await expect(sum(vast).data()).rejects.toEqual(coded('OUT_OF_MEMORY', message));
    vast.dispose();
    expect(() => full([2 ** 46, 2 ** 46], 1)).toThrow(coded('OUT_OF_MEMORY', 'larger than any memory'));
    expect([...(await add(ones([2]), 1).data())]).toEqual([2, 2]);
    expect(memory().bytes).toBeLessThan(held + 2 ** 20);
  });

  test('without readers they disturb nobody', () => {
    for (let i = 0; i < 10; i++) impossible().dispose();
    synchronize();
    expect(sum(ones([3])).item()).toBe(3);
  });
});

test('timers tick while a forward runs under await', async () => {
  const a = full([768, 768], 1 / 768);
  let product = a;
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  for (let i = 0; i < 100; i++) product = matmul(product, a);
  const duringIssue = ticks;
  await product.data();
  clearInterval(timer);
  expect(duringIssue).toBe(0);
  expect(ticks).toBeGreaterThan(5);
  expect(product.dataSync()[0]).toBeCloseTo(1 / 768, 6);
});

test('a packed weight cannot be read as it is, and the failed read keeps nothing alive', async () => {
  const packed = native.packWeight(native.toDType(native.full([8, 8], 1, 0, 0), 3));
  await expect(native.readLater(packed)).rejects.toEqual(coded('NOT_SUPPORTED', 'unpackWeight'));
  expect(native.shapeOf(native.unpackWeight(packed))).toEqual([8, 8]);
});

describe('how a process ends', () => {
  test('QUANTO_SYNC=1 throws at the call', async () => {
    const { status, stdout, stderr } = await runChild(child('synchronous'), [], { environment: { QUANTO_SYNC: '1' } });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ thrown: 'INDEX_OUT_OF_RANGE', read: [1, 2] });
  });

  // Each ends with work in the queue; a hang is killed and shows as a signal.
  test.each([
    ['exit', 3, ''],
    ['throw', 1, ''],
    ['idle', 0, ''],
    ['await', 0, 'settled'],
    ['failed read', 0, 'NOT_SUPPORTED'],
    ['exit while reading', 4, ''],
  ])('%s', async (how, status, printed) => {
    const result = await runChild(child('ending'), [how], { timeout: 100 });
    expect({ signal: result.signal, status: result.status, stdout: result.stdout }).toEqual({ signal: null, status, stdout: printed });
  });
});
