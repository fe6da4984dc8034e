import { fallbacks, manualSeed, quantizeActivation, quantizeWeight, randn, tensor } from '../../lib';

const activation = () => quantizeActivation(randn([2, 4]), { qtype: 'qint8', scale: tensor(0.02) });

beforeEach(() => {
  manualSeed(1);
  fallbacks({ reset: true });
});

describe('fallbacks', () => {
  it('counts the ops that ran in float on quantized operands, by name', () => {
    const q = activation();
    q.gelu();
    q.gelu();
    q.add(q);
    expect(fallbacks()).toEqual({ gelu: 2, add: 1 });
  });

  it('does not count ops with a rule, nor ops on plain tensors', () => {
    const q = activation();
    q.relu().mul(2).t().dequantize().gelu();
    expect(fallbacks()).toEqual({});
  });

  it('counts an op whose rule does not cover the operands', () => {
    activation().mul(-1);
    quantizeWeight(randn([3, 4]), { qtype: 'qint8' }).relu();
    expect(fallbacks()).toEqual({ mul: 1, relu: 1 });
  });

  it('gives a copy, and forgets when asked', () => {
    activation().gelu();
    const counts = fallbacks({ reset: true });
    counts.gelu++;
    expect(fallbacks()).toEqual({});
  });
});
