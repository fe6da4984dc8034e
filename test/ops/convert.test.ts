import { neg, ones, tensor, to } from '../../lib/ops';
import { loadBackend } from '../../lib/tensor/device';
import { convertCases, convertFailures } from '../cases/convert';
import { testBinary } from '../harness/addon';
import { runCases } from '../harness/run-cases';

runCases(convertCases, convertFailures);

describe('a second device', () => {
  beforeAll(() => void loadBackend(testBinary('quanto_mini.so')));

  test('gradients move back to where their tensor is', () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const y = to(neg(to(x, 'mini')), 'cpu');
    expect(y.tolist()).toEqual([-1, -2]);
    y.backward(ones([2]));
    expect(x.grad?.device).toBe('cpu');
    expect(x.grad?.tolist()).toEqual([-1, -1]);
  });

  test('a tensor that is there already is returned as it is', () => {
    const x = tensor([1, 2]);
    expect(to(x, 'cpu')).toBe(x);
    const y = to(x, 'mini');
    expect([y.device, to(y, 'mini'), to(y, 'mini:0')]).toEqual(['mini:0', y, y]);
  });
});
