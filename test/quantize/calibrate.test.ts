import { setImmediate as nextTurn } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';

import {
  calibration,
  cat,
  manualSeed,
  memory,
  nn,
  noGrad,
  qint8,
  QTensor,
  quantize,
  randn,
  tensor,
  type Tensor,
  tidy,
  zeros,
} from '../../lib';
import type { QuantizedModule } from '../../lib/quantize';
import { codeOf } from '../harness/errors';

beforeEach(() => {
  manualSeed(1);
});

const both = { weights: 'qint8', activations: 'qint8' } as const;
const asQuantized = (module: nn.Module) => module as unknown as QuantizedModule;
/** A layer that changes nothing but by quantization. */
const identity = () => {
  const layer = new nn.Linear(1, 1, { bias: false });
  layer.loadStateDict({ weight: tensor([[1]]) });
  return quantize(layer, both);
};
const of = (...values: number[]) => values.map((value) => tensor([[value * 127]]));
const scalesOf = (module: nn.Module) => {
  const { input_scale, output_scale } = asQuantized(module);
  return [input_scale.item(), output_scale.item()];
};

describe('scales', () => {
  it('follow the largest magnitudes with momentum', () => {
    // A convolution does not quantize its input, so here the same goes in and out.
    const layer = new nn.Conv2d(1, 1, 1, { bias: false });
    layer.loadStateDict({ weight: tensor([[[[1]]]]) });
    const quantized = quantize(layer, both);
    const seen: number[][] = [];
    calibration(() => {
      for (const batch of of(0.02, -0.01, 0.04)) {
        quantized.forward(batch.reshape(1, 1, 1, 1));
        seen.push(scalesOf(quantized));
      }
    });
    // The golden vector of the original.
    for (const [i, expected] of [0.02, 0.019, 0.0211].entries()) {
      expect(seen[i]).toEqual([expect.closeTo(expected, 7), expect.closeTo(expected, 7)]);
    }
  });

  it.each([
    [0, 0.04],
    [0.5, 0.5 * (0.5 * 0.02 + 0.5 * 0.01) + 0.5 * 0.04],
  ])('with a momentum of %p', (momentum, expected) => {
    const layer = identity();
    calibration(() => of(0.02, 0.01, 0.04).forEach((batch) => layer.forward(batch)), { momentum });
    expect(scalesOf(layer)[0]).toBeCloseTo(expected, 7);
  });

  it('go on from where the last calibration ended', () => {
    const layer = identity();
    calibration(() => layer.forward(of(0.02)[0]));
    calibration(() => layer.forward(of(0.01)[0]));
    expect(scalesOf(layer)[0]).toBeCloseTo(0.019, 7);
  });

  it('are not moved by a batch that has no range', () => {
    const layer = identity();
    calibration(() => {
      layer.forward(zeros([2, 1]));
      layer.forward(of(0.02)[0]);
      layer.forward(zeros([2, 1]));
      layer.forward(zeros([0, 1]));
      layer.forward(tensor([[NaN], [Infinity]]));
    });
    expect(scalesOf(layer)[0]).toBeCloseTo(0.02, 7);
  });

  it('stay unset where only zeros came through', () => {
    const layer = identity();
    calibration(() => layer.forward(zeros([2, 1])));
    expect(scalesOf(layer)).toEqual([1, 1]);
    expect(asQuantized(layer).calibrated).toEqual({ input: false, output: false });
    expect(layer.forward(of(0.02)[0]).isQuantized).toBe(false);
  });

  it('are known to the host afterwards', () => {
    const layer = identity();
    calibration(() => layer.forward(of(0.02)[0]));
    expect(asQuantized(layer).input_scale.hostValue).toBe(scalesOf(layer)[0]);
  });

  it('have the dtype of the layer', () => {
    for (const dtype of ['float16', 'bfloat16'] as const) {
      const layer = quantize(new nn.Linear(8, 4, { dtype }), both);
      const x = randn([2, 8], { dtype });
      calibration(() => layer.forward(x), { streamline: false });
      const { input_scale, output_scale } = asQuantized(layer);
      expect([input_scale.dtype, output_scale.dtype]).toEqual([dtype, dtype]);
      expect(layer.forward(x)).toMatchObject({ isQuantized: true, dtype });
    }
  });

  it('are not touched outside a calibration', () => {
    const layer = identity();
    layer.forward(of(0.02)[0]);
    expect(scalesOf(layer)).toEqual([1, 1]);
  });

  it('of a quantized input are adopted', () => {
    const layer = quantize(new nn.Linear(4, 2), both);
    const first = quantize(new nn.Linear(4, 4), both);
    const x = randn([8, 4]);
    calibration(
      () => {
        layer.forward(first.forward(x));
        layer.forward(first.forward(x.mul(3)));
      },
      { streamline: false },
    );
    expect(scalesOf(layer)[0]).toBe(scalesOf(first)[1]);
  });
});

describe('streamline', () => {
  class Net extends nn.Module {
    readonly fc1 = new nn.Linear(4, 4);
    readonly fc2 = new nn.Linear(4, 4);
    readonly fc3 = new nn.Linear(4, 4);
    readonly norm = new nn.LayerNorm(4);
    readonly conv = new nn.Conv2d(1, 1, 1);

    constructor(readonly body: (net: Net, x: Tensor) => Tensor) {
      super();
    }

    forward(src: Tensor): Tensor {
      return this.body(this, src);
    }
  }
  const names = ['fc1', 'fc2', 'fc3', 'norm', 'conv'] as const;

  const cases: [string, (net: Net, x: Tensor) => Tensor, readonly (typeof names)[number][]][] = [
    ['the next layer takes integers', (net, x) => net.fc2.forward(net.fc1.forward(x)), ['fc1']],
    ['relu keeps them', (net, x) => net.fc2.forward(net.fc1.forward(x).relu()), ['fc1']],
    ['views and numbers keep them', (net, x) => net.fc2.forward(net.fc1.forward(x).reshape(2, 2, 4).mul(0.5).transpose(0, 1)), ['fc1']],
    ['gelu does not', (net, x) => net.fc2.forward(net.fc1.forward(x).gelu()), []],
    ['the output of the model has no consumer', (net, x) => net.fc1.forward(x), []],
    ['sums run in float', (net, x) => net.fc2.forward(net.fc1.forward(x).add(x)), []],
    [
      'one consumer of integers is enough',
      (net, x) => {
        const hidden = net.fc1.forward(x);
        return net.fc2.forward(hidden).add(hidden);
      },
      ['fc1'],
    ],
    ['layer norms make integers', (net, x) => net.fc1.forward(net.norm.forward(x)), ['norm']],
    ['layer norms do not take them', (net, x) => net.norm.forward(net.fc1.forward(x)), []],
    ['convolutions take them', (net, x) => net.conv.forward(net.fc1.forward(x).reshape(1, 1, 4, 4)), ['fc1']],
    ['convolutions make them', (net, x) => net.fc1.forward(net.conv.forward(x.reshape(1, 1, 4, 4)).flatten(0, 2)), ['conv']],
    [
      'attention takes queries and keys; the weights of the values are floats',
      (net, x) => net.fc1.forward(x).matmul(net.fc2.forward(x).t()).softmax().matmul(net.fc3.forward(x)),
      ['fc1', 'fc2'],
    ],
    [
      'attention in one op takes all three',
      (net, x) => noGrad(() => nn.functional.scaledDotProductAttention(net.fc1.forward(x), net.fc2.forward(x), net.fc3.forward(x))),
      ['fc1', 'fc2', 'fc3'],
    ],
    // During the calibration the scales are not known to be equal, so this is joined in float.
    ['two outputs joined', (net, x) => net.fc3.forward(cat([net.fc1.forward(x), net.fc2.forward(x)])), []],
    ['two halves of one output joined', (net, x) => net.fc2.forward(cat(net.fc1.forward(x).chunk(2))), ['fc1']],
  ];

  it.each(cases)('%s', (_, body, kept) => {
    const net = quantize(new Net(body), both);
    const x = randn([4, 4]);
    calibration(() => {
      net.forward(x);
      net.forward(x);
    });
    const quantized = () => names.filter((name) => asQuantized(net[name]).calibrated.output && asQuantized(net[name]).outputQuantized);
    expect(quantized()).toEqual(kept);
    // Without it all that ran stay quantized, and a new calibration decides anew.
    calibration(() => net.forward(x), { streamline: false });
    expect(quantized()).toEqual(names.filter((name) => asQuantized(net[name]).calibrated.output));
    calibration(() => net.forward(x));
    expect(quantized()).toEqual(kept);
  });

  it('takes what the layers after it give, not only the last batch', () => {
    let first = true;
    const net = quantize(new Net((self, x) => (first ? self.fc2.forward(self.fc1.forward(x)) : self.fc1.forward(x))), both);
    const x = randn([4, 4]);
    calibration(() => {
      net.forward(x);
      first = false;
      net.forward(x);
    });
    expect(asQuantized(net.fc1).outputQuantized).toBe(true);
  });

  it('changes what leaves the module', () => {
    const x = randn([4, 4]);
    const net = quantize(new Net(({ fc1, fc2 }, src) => fc2.forward(fc1.forward(src))), both);
    calibration(() => net.forward(x));
    expect(net.fc1.forward(x)).toBeInstanceOf(QTensor);
    expect(net.forward(x).isQuantized).toBe(false);
  });
});

describe('the forms of a calibration', () => {
  it('gives what the function gives, now or later', async () => {
    expect(calibration(() => 7)).toBe(7);
    const later = calibration(async () => {
      await nextTurn();
      return 7;
    });
    expect(later).toBeInstanceOf(Promise);
    expect(await later).toBe(7);
    // Promises of other realms, such as those of Node's own modules under a test runner, count as well.
    const foreign = runInNewContext('Promise.resolve(7)') as Promise<number>;
    const layer = identity();
    const result = calibration(() => {
      layer.forward(of(0.02)[0]);
      return foreign;
    });
    expect(asQuantized(layer).outputQuantized).toBe(true);
    expect(await result).toBe(7);
    expect(asQuantized(layer).outputQuantized).toBe(false);
  });

  it('goes on across awaits', async () => {
    const layer = identity();
    await calibration(async () => {
      for (const batch of of(0.02, 0.01, 0.04)) {
        await nextTurn();
        layer.forward(batch);
      }
    });
    expect(scalesOf(layer)[0]).toBeCloseTo(0.0211, 7);
  });

  it('leaves alone what runs beside it', async () => {
    const [a, b, bystander] = [identity(), identity(), identity()];
    const run = (layer: nn.Module, momentum: number) =>
      calibration(
        async () => {
          for (const batch of of(0.02, 0.01, 0.04)) {
            layer.forward(batch);
            await nextTurn();
          }
        },
        { momentum },
      );
    const first = run(a, 0.9);
    const second = run(b, 0);
    bystander.forward(of(0.5)[0]);
    await nextTurn();
    bystander.forward(of(0.5)[0]);
    await Promise.all([first, second]);
    expect(scalesOf(a)[0]).toBeCloseTo(0.0211, 7);
    expect(scalesOf(b)[0]).toBeCloseTo(0.04, 7);
    expect(scalesOf(bystander)).toEqual([1, 1]);
  });

  it('works with `using`', () => {
    const layer = identity();
    {
      using open = calibration({ momentum: 0 });
      layer.forward(of(0.02)[0]);
      expect(asQuantized(layer).outputQuantized).toBe(true);
      expect(open).toBeDefined();
    }
    expect(asQuantized(layer).outputQuantized).toBe(false);
    layer.forward(of(0.5)[0]);
    expect(scalesOf(layer)[0]).toBeCloseTo(0.02, 7);
  });

  it('ends once', () => {
    const open = calibration();
    open.end();
    open.end();
    open[Symbol.dispose]();
    const layer = identity();
    layer.forward(of(0.5)[0]);
    expect(scalesOf(layer)).toEqual([1, 1]);
  });

  it('lets an inner calibration have its own way', () => {
    const [outer, inner] = [identity(), identity()];
    calibration(() => {
      outer.forward(of(0.02)[0]);
      calibration(() => of(0.02, 0.04).forEach((batch) => inner.forward(batch)), { momentum: 0 });
      outer.forward(of(0.04)[0]);
    });
    expect(scalesOf(outer)[0]).toBeCloseTo(0.022, 7);
    expect(scalesOf(inner)[0]).toBeCloseTo(0.04, 7);
  });

  it.each([-0.1, 1, 2, NaN])('refuses a momentum of %p', (momentum) => {
    expect(codeOf(() => calibration(() => 1, { momentum }))).toBe('INVALID_ARGUMENT');
  });
});

describe('an error inside', () => {
  const stopped = (layer: nn.Module) => {
    // What was recorded until then is decided and usable.
    expect(scalesOf(layer)[0]).toBeCloseTo(0.02, 7);
    expect(asQuantized(layer).outputQuantized).toBe(false);
    layer.forward(of(0.5)[0]);
    expect(scalesOf(layer)[0]).toBeCloseTo(0.02, 7);
  };

  it('reaches the caller, and the calibration ends', () => {
    const layer = identity();
    const fail = () =>
      calibration(() => {
        layer.forward(of(0.02)[0]);
        throw new Error('no more data');
      });
    expect(fail).toThrow('no more data');
    stopped(layer);
  });

  it('does so from async functions', async () => {
    const layer = identity();
    const failing = calibration(async () => {
      layer.forward(of(0.02)[0]);
      await nextTurn();
      throw new Error('no more data');
    });
    await expect(failing).rejects.toThrow('no more data');
    stopped(layer);
  });

  it('does so from `using`', () => {
    const layer = identity();
    const fail = () => {
      using open = calibration();
      layer.forward(of(0.02)[0]);
      void open;
      throw new Error('no more data');
    };
    expect(fail).toThrow('no more data');
    stopped(layer);
  });
});

describe('a sample that fails when it is read', () => {
  // An index is data: that there is no such row shows only when results are read.
  const failing = () => nn.functional.embedding(tensor([9], { dtype: 'int64' }), zeros([2, 4]));
  const failure = (model: nn.Module<[Tensor]>) => codeOf(() => calibration(() => model.forward(failing())));

  it.each([{}, { smoothing: 'dynamic' as const }])('leaves a model as it was %j', (options) => {
    const model = quantize(new nn.Sequential(new nn.Linear(4, 4), new nn.Linear(4, 2)), { ...both, ...options }).eval();
    const x = randn([3, 4]);
    calibration(() => model.forward(x));
    const before = model.forward(x).bytesSync();
    expect(failure(model)).toBe('INDEX_OUT_OF_RANGE');
    expect(model.forward(x).bytesSync()).toEqual(before);
    calibration(() => model.forward(x.mul(2)), { momentum: 0 });
    expect(model.forward(x).bytesSync()).not.toEqual(before);
  });

  it('leaves one that was never calibrated so', () => {
    const model = quantize(new nn.Sequential(new nn.Linear(4, 2)), { ...both, smoothing: 'dynamic' });
    const layer = model[0] as unknown as QuantizedModule & nn.Linear;
    expect(failure(model)).toBe('INDEX_OUT_OF_RANGE');
    expect(layer.calibrated).toEqual({ input: false, output: false });
    expect(layer.smoothing).toBeNull();
    expect(model.forward(randn([3, 4])).isQuantized).toBe(false);
  });

  it('keeps no tensors', () => {
    const model = quantize(new nn.Sequential(new nn.Linear(4, 2)), { ...both, smoothing: 'dynamic' });
    const x = randn([3, 4]);
    const calibrate = () => noGrad(() => tidy(() => void calibration(() => model.forward(x))));
    calibrate();
    const { tensors } = memory();
    calibrate();
    noGrad(() => tidy(() => void failure(model)));
    expect(memory().tensors).toBe(tensors);
  });
});

test('debug prints what each module does', () => {
  const log = jest.spyOn(console, 'log').mockImplementation();
  const model = quantize(new nn.Sequential(new nn.Linear(4, 4), new nn.Linear(4, 2)), both);
  const x = randn([3, 4]);
  calibration(() => model.forward(x), { debug: true });
  const lines = log.mock.calls.flat().map((line: unknown) => String(line).replace(/[\d.e-]+$/, 'S'));
  log.mockRestore();
  expect(lines).toEqual([
    'QLinear(inFeatures=4, outFeatures=4, bias=true, weights=qint8, activations=qint8): input is quantized to qint8 with scale S',
    'QLinear(inFeatures=4, outFeatures=4, bias=true, weights=qint8, activations=qint8): output is quantized to qint8 with scale S',
    'QLinear(inFeatures=4, outFeatures=2, bias=true, weights=qint8, activations=qint8): input is quantized to qint8 with scale S',
  ]);
});

test('a quantized input of another type is refused', () => {
  const first = quantize(new nn.Linear(4, 4), { weights: qint8, activations: 'qfloat8' });
  const second = quantize(new nn.Linear(4, 4), both);
  const x = randn([2, 4]);
  calibration(() => first.forward(x), { streamline: false });
  expect(codeOf(() => second.forward(first.forward(x)))).toBe('NOT_SUPPORTED');
});
