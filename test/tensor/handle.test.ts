import { tensor } from '../../lib/ops';
import { memory, synchronize } from '../../lib/tensor/device';
import { Handle } from '../../lib/tensor/handle';
import { native } from '../../lib/native';
import { dtypeCode } from '../../lib/tensor/dtype';
import { collectGarbage } from '../harness/garbage';
import { expectError } from '../harness/errors';
import { settledMemory } from '../harness/memory';

test('the native tensor lives until the last reference is gone', async () => {
  await collectGarbage();
  const before = settledMemory().tensors;
  const handle = new Handle(native.full([2], 1, dtypeCode('float32'), 0));
  handle.retain();
  handle.release();
  expect(native.shapeOf(handle.native)).toEqual([2]);
  expect(memory().tensors).toBe(before + 1);
  handle.release();
  synchronize();
  expect(memory().tensors).toBe(before);
  expectError(() => native.shapeOf(handle.native), 'DISPOSED');
});

test('a Tensor and its share() are disposed on their own', () => {
  const x = tensor([1, 2]);
  const y = x.share();
  x.dispose();
  x.dispose();
  expect(y.tolist()).toEqual([1, 2]);
  y.dispose();
  expectError(() => y.tolist(), 'DISPOSED', /keep/);
});

test('a handle that no addon made is refused', () => {
  for (const forged of [{}, null, 3, 'text', Symbol('x'), new Uint8Array(8)]) {
    expectError(() => native.shapeOf(forged as never), 'INVALID_HANDLE');
  }
});
