import { join } from 'node:path';

import { type nn } from '../../lib';
import { native, type NativeTensor } from '../../lib/native';
import * as ops from '../../lib/ops';
import { fallbacks, type QBytesTensor, quantizeActivation } from '../../lib/qtensor';
import { observeOps } from '../../lib/tensor/op-observer';
import type { Tensor } from '../../lib/tensor/tensor';
import { attentionCases, attentionFailures } from '../cases/attention';
import { childReport } from '../harness/child';
import { expectError } from '../harness/errors';
import { runCases } from '../harness/run-cases';

runCases(attentionCases, attentionFailures);

/** A result and the names of the ops that made it. */
function traced(run: () => Tensor): { result: Tensor; names: string[] } {
  const names: string[] = [];
  const stop = observeOps(({ name }) => names.push(name));
  try {
    return { result: run(), names };
  } finally {
    stop();
  }
}

const recorded = (src: Tensor) => {
  const copy = src.clone();
  copy.requiresGrad = true;
  return copy;
};

describe('without gradients attention is one op', () => {
  const seen = () => ops.randn([2, 1, 9, 140]).gt(0);
  const rows: [string, nn.functional.AttentionOptions][] = [
    ['plain', {}],
    ['causal', { causal: true }],
    ['causal behind a cache', { causal: true, offset: 131 }],
    ['masked', { mask: seen() }],
    ['masked and causal', { mask: seen(), causal: true, offset: 100 }],
    ['biased', { mask: ops.randn([9, 140]) }],
    ['scaled', { scale: -0.7 }],
  ];
  it.each(rows)('that agrees with the ops that are recorded: %s', (_name, options) => {
    ops.manualSeed(5);
    const [q, k, v] = [ops.randn([2, 6, 9, 24]), ops.randn([2, 3, 140, 24]), ops.randn([2, 3, 140, 40])];
    const fused = traced(() => ops.scaledDotProductAttention(q, k, v, options));
    const composed = traced(() => ops.scaledDotProductAttention(recorded(q), k, v, options));
    expect(fused.names).toEqual(['attention']);
    expect(composed.names).toContain('softmax');
    expect(fused.result.allclose(composed.result.detach(), { atol: 2e-6, rtol: 1e-5 })).toBe(true);
  });

  it('whose heads join without a copy', () => {
    const [q, k, v] = [1, 2, 3].map(() => ops.randn([2, 7, 3, 8]).permute(0, 2, 1, 3));
    const result = ops.scaledDotProductAttention(q, k, v);
    expect(result.shape).toEqual([2, 3, 7, 8]);
    expect(native.isContiguous(result.permute(0, 2, 1, 3).native)).toBe(true);
  });

  it('but not where weights are dropped, or the mask widens the scores', () => {
    const q = ops.randn([4, 8]);
    const wide = traced(() => ops.scaledDotProductAttention(q, q, q, { mask: ops.zeros([4, 4]).to('float16') }));
    expect(wide.names).toContain('softmax');
    expect(traced(() => ops.scaledDotProductAttention(q, q, q, { dropout: 0.5 })).names).toContain('softmax');
  });
});

// 2 queries stream the keys, 40 go through tiles.
describe.each([2, 40])('of %d queries', (length) => {
  const [keys, width] = [150, 8];
  const operands = () => [ops.randn([length, width]), ops.randn([keys, width]), ops.randn([keys, width])];
  const filled = (value: number) => ops.full([length, keys], value);
  const both = (q: Tensor, k: Tensor, v: Tensor, options: nn.functional.AttentionOptions) => [
    ops.scaledDotProductAttention(q, k, v, options),
    ops.scaledDotProductAttention(recorded(q), k, v, options).detach(),
  ];

  it('rows without a visible key are 0', () => {
    const [q, k, v] = operands();
    for (const options of [{ mask: filled(0).to('bool') }, { causal: true, offset: -length }]) {
      for (const result of both(q, k, v, options)) expect(result.absmax().item()).toBe(0);
    }
  });

  it('rows whose every score is -infinity are NaN, as those of softmax are', () => {
    const [q, k, v] = operands();
    for (const result of both(q, k, v, { mask: filled(-Infinity) })) expect(result.isnan().all().item()).toBe(1);
  });

  it('NaN reaches its own row alone, and a hidden key none', () => {
    const [q, k, v] = operands();
    q.select(0, 1).fill_(NaN);
    k.select(0, 3).fill_(NaN);
    const mask = ops.arange(keys).ne(3).expand(length, keys);
    for (const result of both(q, k, v, { mask })) {
      const bad = result.isnan().any(1).tolist() as boolean[];
      expect(bad.flatMap((isBad, i) => (isBad ? [i] : []))).toEqual([1]);
    }
  });

  it('scores too far apart for exp, and the largest in a late block', () => {
    const [q, , v] = operands();
    const place = ops.arange(keys).to('float32').reshape(keys, 1).expand(keys, width);
    for (const factor of [1000, -1000]) {
      const [result, wanted] = both(ops.ones([length, width]), place.mul(factor), v, {});
      expect(result.allclose(wanted, { atol: 1e-6 })).toBe(true);
      expect(result.select(0, 0).allclose(v.select(0, factor > 0 ? keys - 1 : 0))).toBe(true);
    }
    expect(q.shape).toEqual([length, width]);
  });

  it('scores of int8 codes are exact', () => {
    const [q, k, v] = operands();
    const [a, b] = [q, k].map((src) => quantizeActivation(src, { qtype: 'qint8', scale: ops.tensor(0.03) }) as QBytesTensor);
    fallbacks({ reset: true });
    const { result, names } = traced(() => ops.scaledDotProductAttention(a, b, v));
    expect(names).toEqual(['attention']);
    expect(fallbacks()).toEqual({});
    // The ops one by one, as they run where a gradient of the values is recorded.
    const wanted = traced(() => ops.scaledDotProductAttention(a, b, recorded(v)));
    expect(wanted.names).toContain('matmul');
    expect(result.allclose(wanted.result.detach(), { atol: 1e-6, rtol: 1e-5 })).toBe(true);
    expect(result.allclose(ops.scaledDotProductAttention(a.dequantize(), b.dequantize(), v), { atol: 1e-5 })).toBe(true);
  });
});

describe('quantized values', () => {
  const activation = (qtype: string) => quantizeActivation(ops.randn([5, 8]), { qtype, scale: ops.tensor(0.03) }) as QBytesTensor;
  const attended = (value: QBytesTensor) => {
    const [q, k] = [activation('qint8'), activation('qint8')];
    fallbacks({ reset: true });
    const result = ops.scaledDotProductAttention(q, k, value);
    const wanted = ops.scaledDotProductAttention(q.dequantize(), k.dequantize(), value.dequantize());
    return { counted: fallbacks(), result, wanted };
  };

  it('of int8 codes are weighed as such', () => {
    const { counted, result, wanted } = attended(activation('qint8'));
    expect(counted).toEqual({});
    expect(result.isQuantized).toBe(false);
    expect(result.allclose(wanted, { atol: 1e-5 })).toBe(true);
  });

  it('of another type are dequantized, and counted', () => {
    const { counted, result, wanted } = attended(activation('qfloat8_e4m3fn'));
    expect(counted).toEqual({ attention: 1 });
    expect(result.allclose(wanted, { atol: 1e-5 })).toBe(true);
  });

  it('take a scale for codes alone, and beside scores of codes', () => {
    const [codes, floats] = [ops.ones([2, 2], { dtype: 'int8' }).native, ops.ones([2, 2]).native];
    const [one, two] = [ops.ones([1]).native, ops.ones([2]).native];
    type Scale = NativeTensor | null;
    const attend = (query: NativeTensor, value: NativeTensor, queryScale: Scale, keyScale: Scale, valueScale: Scale) =>
      native.attention(query, query, value, null, queryScale, keyScale, valueScale, 1, false, 0, 1);
    expectError(() => attend(codes, floats, one, one, one), 'DTYPE_MISMATCH', /value codes/);
    expectError(() => attend(floats, codes, null, null, one), 'INVALID_ARGUMENT', /scales of codes/);
    expectError(() => attend(codes, codes, one, null, one), 'INVALID_ARGUMENT', /scales of codes/);
    expectError(() => attend(codes, codes, one, one, two), 'SHAPE_MISMATCH', /value scale/);
    expectError(() => attend(codes, codes, two, one, one), 'SHAPE_MISMATCH', /query scale/);
    expectError(() => attend(codes, codes, one, one, null), 'DTYPE_MISMATCH', /value/);
    expectError(() => attend(floats, floats, one, one, null), 'DTYPE_MISMATCH', /query codes/);
  });
});

test('codes whose sums float32 could not hold are dequantized, and counted', () => {
  const [q, k] = [1, 2].map(() => quantizeActivation(ops.randn([5, 1030]), { qtype: 'qint8', scale: ops.tensor(0.03) }) as QBytesTensor);
  const v = ops.randn([5, 4]);
  fallbacks({ reset: true });
  const result = ops.scaledDotProductAttention(q, k, v);
  expect(fallbacks()).toEqual({ attention: 1 });
  expect(result.equal(ops.scaledDotProductAttention(q.dequantize(), k.dequantize(), v))).toBe(true);
});

test('no memory for the scores of a long sequence', async () => {
  const { tensors, resident, scores } = await childReport<Record<'tensors' | 'resident' | 'scores', number>>(
    join(__dirname, 'attention-peak.ts'),
  );
  expect(tensors).toBeLessThan(scores / 16);
  expect(resident).toBeLessThan(scores / 4);
});
