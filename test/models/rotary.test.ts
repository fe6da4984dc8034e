import { RotaryEmbedding } from '../../lib/models/rotary';
import { manualSeed, randn, tensor } from '../../lib/ops';

/** The definition, in float64: pair i of a row at position p turns by p * theta^(-2i / dim). */
function turned(row: number[], position: number, theta: number, interleaved: boolean): number[] {
  const pairs = row.length / 2;
  const result = [...row];
  for (let i = 0; i < pairs; i++) {
    const [at, other] = interleaved ? [2 * i, 2 * i + 1] : [i, i + pairs];
    const angle = position * theta ** ((-2 * i) / row.length);
    result[at] = row[at] * Math.cos(angle) - row[other] * Math.sin(angle);
    result[other] = row[at] * Math.sin(angle) + row[other] * Math.cos(angle);
  }
  return result;
}

test.each([
  [true, 0],
  [false, 0],
  [true, 300],
  [false, 70],
])('interleaved %p from position %i on follows the definition', (interleaved, start) => {
  manualSeed(3);
  const src = randn([2, 5, 8]);
  const rotary = new RotaryEmbedding(8, 10000, interleaved);
  // Short sequences first, so that the tables have to grow.
  rotary.apply(src, 0);
  const expected = (src.tolist() as number[][][]).map((rows) => rows.map((row, i) => turned(row, start + i, 10000, interleaved)));
  expect(rotary.apply(src, start).allclose(tensor(expected), { atol: 2e-6 })).toBe(true);
});

test('position 0 is left alone, and lengths stay', () => {
  const rotary = new RotaryEmbedding(4, 10000, false);
  const src = tensor([[[1, 2, 3, 4]], [[5, 6, 7, 8]]]);
  expect(rotary.apply(src, 0).equal(src)).toBe(true);
  const norm = rotary.apply(src, 9).square().sum({ axis: -1 });
  expect(norm.allclose(tensor([[30], [174]]), { rtol: 1e-6 })).toBe(true);
});

test('works in the dtype of its input', () => {
  expect(new RotaryEmbedding(4, 10000, true).apply(randn([1, 3, 4], { dtype: 'bfloat16' }), 0).dtype).toBe('bfloat16');
});
