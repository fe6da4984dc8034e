import * as nn from '../../lib/nn';
import { tensor } from '../../lib/ops';

const x = [-3, -0.5, 0, 0.25, 2];
const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));
const normalizer = x.reduce((total, value) => total + Math.exp(value), 0);
const geluTanh = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
// x * P(X <= x) of the standard normal distribution, from a table.
const gelu = [-0.00404951, -0.15426877, 0, 0.14967659, 1.95449974];

test.each<[nn.Module, number[]]>([
  [new nn.ReLU(), [0, 0, 0, 0.25, 2]],
  [new nn.GELU(), gelu],
  [new nn.GELU({ approximate: 'tanh' }), x.map(geluTanh)],
  [new nn.SiLU(), x.map((v) => v * sigmoid(v))],
  [new nn.Tanh(), x.map(Math.tanh)],
  [new nn.Sigmoid(), x.map(sigmoid)],
  [new nn.Softmax(), x.map((v) => Math.exp(v) / normalizer)],
  [new nn.LogSoftmax(), x.map((v) => v - Math.log(normalizer))],
])('%s', (layer, expected) => {
  expect(layer.forward(tensor(x)).allclose(tensor(expected), { atol: 1e-6 })).toBe(true);
  expect(Object.keys(layer.stateDict())).toEqual([]);
});

test('an axis may be named', () => {
  const src = tensor([[0, 5], [0, 5]]); // prettier-ignore
  expect(new nn.Softmax(0).forward(src).allclose(tensor([[0.5, 0.5], [0.5, 0.5]]))).toBe(true); // prettier-ignore
  expect(String(new nn.Softmax(0))).toBe('Softmax(axis=0)');
});
