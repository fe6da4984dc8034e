import { loadSafetensors } from '../../lib/io';
import { MLP } from '../../lib/models';
import { tensor } from '../../lib/ops';
import { noGrad } from '../../lib/tensor/grad-mode';
import { codeOf } from '../harness/errors';
import { describeWith, sharedPath } from '../harness/shared';

test('layers are fc1, fc2, ... with ReLU between, not after them', () => {
  const model = new MLP([2, 3, 2]);
  expect(Object.keys(model.stateDict())).toEqual(['fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias']);
  noGrad(() => {
    model.fc1.weight.copy_(tensor([[1, 0], [0, 1], [-1, -1]])); // prettier-ignore
    model.fc1.bias?.zero_();
    model.fc2.weight.copy_(tensor([[1, 1, 1], [-1, -1, -1]])); // prettier-ignore
    model.fc2.bias?.copy_(tensor([0.5, 0]));
  });
  expect(model.forward(tensor([[2, -3]])).tolist()).toEqual([[3.5, -3]]);
});

test('one size is no network', () => {
  expect(codeOf(() => new MLP([3]))).toBe('INVALID_ARGUMENT');
});

describeWith(['fixtures/t8_mlp/float.safetensors'], 'the reference MLP', () => {
  test('gives the reference output', async () => {
    const model = new MLP([48, 160, 192, 10]);
    model.loadStateDict(await loadSafetensors(sharedPath('fixtures/t8_mlp/float.safetensors')));
    const io = await loadSafetensors(sharedPath('fixtures/t8_mlp/io.safetensors'));
    expect(model.forward(io.x).allclose(io.y_float, { atol: 2e-6, rtol: 1e-6 })).toBe(true);
  });
});
