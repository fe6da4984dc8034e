import { add, ones, tensor, zeros } from '../../lib/ops';
import { Adam, SGD } from '../../lib/optim';
import { memory } from '../../lib/tensor/device';
import { tidy } from '../../lib/tensor/scope';
import { Parameter } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';
import { newParameter, trainStep } from './reference';
import { settledMemory } from '../harness/memory';
const valuesOf = (parameter: Parameter) => [...(parameter.dataSync() as Float32Array)];

test('groups have options of their own; undefined means the default', () => {
  const [a, b] = [new Parameter(tensor([1])), new Parameter(tensor([1]))];
  const optimizer = new SGD(
    [
      { params: [a], lr: 0.5 },
      { params: [b], lr: undefined },
    ],
    { lr: 0.25 },
  );
  a.grad = tensor([1]);
  b.grad = tensor([1]);
  optimizer.step();
  expect([valuesOf(a), valuesOf(b)]).toEqual([[0.5], [0.75]]);
  expect(optimizer.lr).toBe(0.5);
  optimizer.lr = 1;
  optimizer.step();
  expect([valuesOf(a), valuesOf(b)]).toEqual([[-0.5], [-0.25]]);
  expect(codeOf(() => (optimizer.lr = -1))).toBe('INVALID_ARGUMENT');
});

test('a parameter without a gradient stays as it is', () => {
  const parameter = newParameter();
  const before = valuesOf(parameter);
  new SGD([parameter], { lr: 1 }).step();
  expect(valuesOf(parameter)).toEqual(before);
});

test('zeroGrad frees the gradients', () => {
  const parameter = newParameter();
  const gradient = (parameter.grad = tensor([1]));
  new SGD([parameter], { lr: 1 }).zeroGrad();
  expect(parameter.grad).toBeNull();
  expect(gradient.isDisposed).toBe(true);
});

test('no parameters, doubled ones and computed tensors are refused', () => {
  const parameter = newParameter();
  expect(codeOf(() => new SGD([], { lr: 1 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new SGD([parameter, parameter], { lr: 1 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new SGD([{ params: [parameter] }, { params: [parameter] }], { lr: 1 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(() => new SGD([add(parameter, 1)], { lr: 1 }))).toBe('INVALID_ARGUMENT');
});

test('a saved and loaded optimizer goes on as the first one would', () => {
  const first = newParameter();
  const options = { lr: 0.1, betas: [0.7, 0.8] as const };
  const from = new Adam([first], options);
  for (let step = 0; step < 5; step++) trainStep(first, from);
  const saved = from.stateDict();
  expect(Object.keys(saved.state[0].tensors).sort()).toEqual(['exp_avg', 'exp_avg_sq']);
  expect(saved.state[0].step).toBe(5);
  expect(saved.paramGroups[0]).toEqual({ lr: 0.1, betas: [0.7, 0.8], eps: 1e-8, weightDecay: 0, params: [0] });

  const copy = new Parameter(tensor(valuesOf(first), { shape: [2, 3] }));
  const resumed = new Adam([copy], { lr: 0.5 });
  resumed.loadStateDict(saved);
  for (let step = 0; step < 5; step++) {
    trainStep(first, from);
    trainStep(copy, resumed);
  }
  expect(valuesOf(copy)).toEqual(valuesOf(first));
});

test('a state dict of other groups or shapes is refused and changes nothing', () => {
  const [parameter, other] = [newParameter(), new Parameter(zeros([2]))];
  const optimizer = new Adam([parameter], {});
  trainStep(parameter, optimizer);
  const saved = optimizer.stateDict();
  const fresh = new Adam([other], { lr: 0.5 });
  expect(codeOf(() => fresh.loadStateDict(saved))).toBe('STATE_DICT');
  expect(codeOf(() => new Adam([{ params: [newParameter()] }, { params: [other] }], {}).loadStateDict(saved))).toBe('STATE_DICT');
  expect(fresh.lr).toBe(0.5);
});

test('state made inside tidy lives on; dispose() frees it', () => {
  const parameter = newParameter();
  const optimizer = new Adam([parameter], { lr: 0.1 });
  tidy(() => trainStep(parameter, optimizer));
  trainStep(parameter, optimizer);
  parameter.grad?.dispose();
  const { tensors } = settledMemory();
  optimizer.dispose();
  expect(memory().tensors).toBe(tensors - 2);
});

test('float16 parameters keep float32 state', () => {
  const parameter = new Parameter(zeros([2, 3], { dtype: 'float16' }));
  const optimizer = new Adam([parameter], { lr: 0.125 });
  parameter.grad = tensor([1, 1, 1, -1, -1, -1], { shape: [2, 3], dtype: 'float16' });
  optimizer.step();
  expect(optimizer.stateDict().state[0].tensors.exp_avg.dtype).toBe('float32');
  // The first Adam step is the learning rate against the gradient's sign.
  expect([...new Set(parameter.dataSync() as Uint16Array)]).toEqual([0xb000, 0x3000]);
});

test('a rate that is no number is refused before anything changes', () => {
  const parameter = new Parameter(ones([2]));
  parameter.grad = ones([2]);
  const optimizer = new SGD([parameter], { lr: 0.1 });
  for (const rate of [NaN, Infinity, -1]) {
    optimizer.paramGroups[0].lr = rate;
    expect(codeOf(() => optimizer.step())).toBe('INVALID_ARGUMENT');
  }
  expect(parameter.tolist()).toEqual([1, 1]);
});
