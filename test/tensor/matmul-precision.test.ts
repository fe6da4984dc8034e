import {
  deviceInfo,
  freeze,
  getFloat32MatmulPrecision,
  type MatmulPrecision,
  manualSeed,
  nn,
  noGrad,
  quantize,
  QTensor,
  randn,
  setFloat32MatmulPrecision,
  type Tensor,
} from '../../lib';

const precisions: readonly MatmulPrecision[] = ['highest', 'high', 'medium'];

afterEach(() => setFloat32MatmulPrecision('highest'));

/** A frozen layer of 48 outputs. */
function layer(inputs: number, weights: 'qint8' | 'qint4' | 'qfloat8'): nn.Linear {
  const linear = new nn.Linear(inputs, 48);
  const quantized = quantize(new nn.Sequential(linear), { weights, groupSize: 32, inPlace: false }).eval();
  freeze(quantized);
  return quantized.children()[0] as nn.Linear;
}

function outputs(linear: nn.Linear, x: Tensor, precision: MatmulPrecision): Float32Array {
  setFloat32MatmulPrecision(precision);
  return noGrad(() => linear.forward(x)).dataSync() as Float32Array;
}

test('is the highest until another one is asked for', () => {
  expect(getFloat32MatmulPrecision()).toBe('highest');
  for (const precision of precisions) {
    setFloat32MatmulPrecision(precision);
    expect(getFloat32MatmulPrecision()).toBe(precision);
  }
});

test('refuses other names', () => {
  for (const name of ['low', '', 'toString', undefined, 1]) {
    expect(() => setFloat32MatmulPrecision(name as MatmulPrecision)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining("'highest', 'high' or 'medium'") as string }),
    );
  }
  expect(getFloat32MatmulPrecision()).toBe('highest');
});

const roundsInt8 = /int8: (amx|vnni|avxvnni|dotprod)\b/.test(deviceInfo().cpu);

// How far an activation may be moved at most, as a part of the largest in its row.
const bounds = [
  ['qint8', 'high', 2 ** -14],
  ['qint8', 'medium', 2 ** -14],
  ['qint4', 'high', 2 ** -16],
  ['qint4', 'medium', 2 ** -8],
  ['qfloat8', 'high', 2 ** -16],
  ['qfloat8', 'medium', 2 ** -8],
] as const;

test.each(bounds)('%s weights: %s moves each activation by its bound at most', (weights, precision, rounding) => {
  manualSeed(1);
  for (const [rows, inputs] of [
    [1, 96],
    [5, 96],
    [70, 160],
  ]) {
    const [linear, x] = [layer(inputs, weights), randn([rows, inputs])];
    const [expected, rounded] = [outputs(linear, x, 'highest'), outputs(linear, x, precision)];
    if (weights === 'qint8') expect(rounded.every((value, i) => value === expected[i])).toBe(!roundsInt8);
    const values = x.dataSync() as Float32Array;
    const stored = linear.weight;
    const weight = (stored instanceof QTensor ? stored.dequantize() : stored).dataSync() as Float32Array;
    for (let i = 0; i < rows; i++) {
      const row = values.subarray(i * inputs, (i + 1) * inputs);
      const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (let j = 0; j < 48; j++) {
        const magnitudes = weight.subarray(j * inputs, (j + 1) * inputs).reduce((sum, value) => sum + Math.abs(value), 0);
        // Both results are float32 sums besides. Of weights with shifts it is codes less their centre that meet rounded values.
        const allowed = (rounding + 2 * (inputs + 5) * 2 ** -24) * largest * magnitudes * (weights === 'qint4' ? 4 : 1);
        expect(Math.abs(rounded[i * 48 + j] - expected[i * 48 + j])).toBeLessThanOrEqual(allowed);
      }
    }
  }
});

test('holds for the calls made after it, whenever they run', async () => {
  const [linear, x] = [layer(64, 'qint8'), randn([33, 64])];
  const high = outputs(linear, x, 'high');
  setFloat32MatmulPrecision('high');
  const pending = noGrad(() => linear.forward(x));
  setFloat32MatmulPrecision('highest');
  expect(await pending.data()).toEqual(high);
});

test('leaves float weights and gradients as they are', () => {
  const [linear, x] = [new nn.Linear(64, 32), randn([9, 64])];
  expect(outputs(linear, x, 'medium')).toEqual(outputs(linear, x, 'highest'));
  const frozen = layer(64, 'qint8');
  const gradients = precisions.map((precision) => {
    setFloat32MatmulPrecision(precision);
    const input = x.clone().detach();
    input.requiresGrad = true;
    frozen.forward(input).sum().backward();
    return (input.grad as Tensor).dataSync();
  });
  expect(gradients[1]).toEqual(gradients[0]);
  expect(gradients[2]).toEqual(gradients[0]);
});
