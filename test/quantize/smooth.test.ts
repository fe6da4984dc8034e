import {
  calibration,
  freeze,
  loadQuantized,
  manualSeed,
  nn,
  noGrad,
  ones,
  quantize,
  randn,
  saveQuantized,
  smooth,
  tensor,
  type Tensor,
  zeros,
} from '../../lib';
import type { QuantizedModule } from '../../lib/quantize';
import { rejection, temporaryFolder } from '../io/support';
import { codeOf } from '../harness/errors';

beforeEach(() => {
  manualSeed(1);
});

const folder = temporaryFolder();

/** A norm whose output two layers read, a chain through relu, and a sum of the norm's output: what may and may not be folded. */
class Net extends nn.Module {
  readonly norm = new nn.LayerNorm(8);
  readonly query = new nn.Linear(8, 8);
  readonly key = new nn.Linear(8, 8);
  readonly residual = new nn.RMSNorm(8);
  readonly up = new nn.Linear(8, 16);
  readonly down = new nn.Linear(16, 8);

  forward(src: Tensor): Tensor {
    const normed = this.norm.forward(src);
    const product = this.query.forward(normed).mul(this.key.forward(normed));
    const kept = this.residual.forward(product);
    return kept.add(this.down.forward(this.up.forward(kept).relu()));
  }
}

/** Channels of very different sizes. */
const spread = tensor([1, 60, 1, 1, 0.1, 1, 60, 1]);
function build(): Net {
  const net = new Net();
  net.norm.loadStateDict({ weight: spread, bias: randn([8]).mul(spread) });
  net.residual.loadStateDict({ weight: spread });
  return net;
}
const samples = () => [randn([4, 8]), randn([2, 3, 8])];

describe('smooth', () => {
  it('moves ranges and keeps the function', async () => {
    const net = build();
    const inputs = samples();
    const before = inputs.map((input) => net.forward(input));
    const done = await smooth(net, inputs);
    expect(done).toEqual([
      { layers: ['query', 'key'], into: 'norm' },
      { layers: ['down'], into: 'up' },
      // The output of `residual` is read by the sum, too.
      { layers: ['up'], into: null },
    ]);
    expect(net.up.smoothing?.shape).toEqual([8]);
    expect([net.query.smoothing, net.down.smoothing]).toEqual([null, null]);
    for (const [i, input] of inputs.entries()) {
      expect(net.forward(input).allclose(before[i], { atol: 1e-3, rtol: 1e-4 })).toBe(true);
    }
    // With alpha 0.5 the input of a layer and its weight have the same range in each channel.
    const normed = inputs.map((input) => net.norm.forward(input).reshape(-1, 8).absmax(0));
    const largest = normed[0].maximum(normed[1]);
    const ofWeights = net.query.weight.absmax(0).maximum(net.key.weight.absmax(0));
    expect(largest.allclose(ofWeights, { rtol: 1e-3 })).toBe(true);
  });

  it('runs a function, sync or async', async () => {
    const [input] = samples();
    const [one, other] = [build(), build()];
    other.loadStateDict(one.stateDict());
    await smooth(one, () => one.forward(input));
    await smooth(other, async () => void (await other.forward(input).data()));
    expect(other.query.weight.tolist()).toEqual(one.query.weight.tolist());
    expect(other.up.smoothing?.tolist()).toEqual(one.up.smoothing?.tolist());
  });

  it('leaves what is excluded, and what reads the same input keeps its own factors', async () => {
    const net = build();
    const { query, up } = net;
    const weights = [query, up].map(({ weight }) => weight.tolist());
    const done = await smooth(net, samples(), { exclude: ['query', 'up'] });
    expect(done).toEqual([
      { layers: ['down'], into: 'up' },
      { layers: ['key'], into: null },
    ]);
    expect(query.weight.tolist()).toEqual(weights[0]);
    // It took over the factors of `down` in its output channels.
    expect(up.weight.tolist()).not.toEqual(weights[1]);
    expect(up.smoothing).toBeNull();
  });

  it('helps quantized activations, and its factors are in files', async () => {
    const net = build();
    const inputs = samples();
    const expected = inputs.map((input) => net.forward(input));
    const errorOf = (model: nn.Module) => {
      quantize(model, { weights: 'qint8', activations: 'qint8' });
      calibration(() => inputs.map((input) => (model as Net).forward(input)));
      freeze(model);
      return inputs.reduce((sum, input, i) => sum + (model as Net).forward(input).dequantize().sub(expected[i]).square().mean().item(), 0);
    };
    const smoothed = net.clone();
    await smooth(smoothed, inputs);
    const plain = errorOf(net.clone());
    expect(errorOf(smoothed)).toBeLessThan(plain / 2);

    await saveQuantized(smoothed, folder());
    const loaded = await loadQuantized(new Net(), folder());
    expect(loaded.up.smoothing?.tolist()).toEqual(smoothed.up.smoothing?.tolist());
    expect(loaded.forward(inputs[0]).bytesSync()).toEqual(smoothed.forward(inputs[0]).bytesSync());
  });

  it('leaves weights that two modules have, and scales no bias that another one has', async () => {
    class Tied extends nn.Module {
      readonly embedding = new nn.Embedding(5, 8);
      readonly norm = new nn.LayerNorm(8);
      readonly first = new nn.Linear(8, 8);
      readonly second = new nn.Linear(8, 8);
      readonly third = new nn.Linear(8, 8);
      readonly head = new nn.Linear(8, 5, { bias: false });
      constructor() {
        super();
        this.second.weight = this.first.weight;
        this.third.bias = this.norm.bias;
        this.head.weight = this.embedding.weight;
      }
      forward(index: Tensor): Tensor {
        const hidden = this.second.forward(this.first.forward(this.norm.forward(this.embedding.forward(index))).relu());
        return this.head.forward(this.third.forward(hidden).relu());
      }
    }
    const [model, index] = [new Tied(), tensor([0, 3, 4], { dtype: 'int64' })];
    const before = model.forward(index);
    expect(await smooth(model, [index])).toEqual([{ layers: ['third'], into: null }]);
    expect(model.forward(index).allclose(before, { atol: 1e-5, rtol: 1e-4 })).toBe(true);
  });

  const readers: [string, (hidden: Tensor) => Tensor][] = [
    ['the caller', (hidden) => hidden],
    ['detach', (hidden) => hidden.detach()],
    ['topk', (hidden) => hidden.topk(2).indices],
    ['argmax', (hidden) => hidden.argmax({ axis: -1 })],
    ['copy_', (hidden) => noGrad(() => zeros([4, 8]).copy_(hidden))],
    ['add_', (hidden) => noGrad(() => zeros([4, 8]).add_(hidden))],
    ['mul_', (hidden) => noGrad(() => ones([4, 8]).mul_(hidden))],
  ];
  it.each(readers)('keeps an output that %s reads', async (_, read) => {
    class TwoOutputs extends nn.Module<[Tensor], { logits: Tensor; other: Tensor }> {
      readonly norm = new nn.LayerNorm(8);
      readonly head = new nn.Linear(8, 3);
      forward(src: Tensor): { logits: Tensor; other: Tensor } {
        const hidden = this.norm.forward(src);
        return { logits: this.head.forward(hidden), other: read(hidden) };
      }
    }
    const [model, src] = [new TwoOutputs(), randn([4, 8])];
    model.norm.loadStateDict({ weight: spread, bias: randn([8]) });
    const before = model.forward(src);
    expect(await smooth(model, () => void model.forward(src))).toEqual([{ layers: ['head'], into: null }]);
    const after = model.forward(src);
    expect(after.other.tolist()).toEqual(before.other.tolist());
    expect(after.logits.allclose(before.logits, { atol: 1e-3, rtol: 1e-4 })).toBe(true);
  });

  it('keeps an output that the function returns', async () => {
    const net = build();
    await smooth(net, () => [net.forward(randn([4, 8])), net.norm.forward(randn([4, 8]))]);
    expect(net.query.smoothing?.shape).toEqual([8]);
  });

  it('refuses what it cannot do', async () => {
    expect((await rejection(smooth(build(), samples(), { alpha: 2 }))).code).toBe('INVALID_ARGUMENT');
    expect((await rejection(smooth(build(), []))).code).toBe('INVALID_ARGUMENT');
    expect((await rejection(smooth(new nn.Sequential(new nn.ReLU()), samples()))).code).toBe('INVALID_ARGUMENT');
  });

  it('sees nothing any more after samples that fail', async () => {
    const failing = () => {
      throw new Error('no');
    };
    await expect(smooth(build(), failing)).rejects.toThrow('no');
    expect(build().forward(samples()[0]).shape).toEqual([4, 8]);
  });
});

describe('dynamic smoothing', () => {
  const layerOf = (model: nn.Sequential) => model[0] as unknown as QuantizedModule & nn.Linear;
  const input = (largest: number) => randn([16, 8]).mul(tensor([1, largest, 1, 1, 1, 1, 1, 1]));

  it('follows the largest magnitudes until the model is frozen', () => {
    const model = new nn.Sequential(new nn.Linear(8, 4));
    const [first, second] = [input(10), input(60)];
    const expected = model.forward(second);
    const { weight } = layerOf(model);
    const plain = model.clone();
    const before = weight.tolist();
    quantize(model, { weights: 'qint8', activations: 'qint8', smoothing: 'dynamic' });
    calibration(() => model.forward(first), { streamline: false });
    const factors = layerOf(model).smoothing?.tolist();
    calibration(() => model.forward(second), { streamline: false, momentum: 0 });
    expect(layerOf(model).smoothing?.tolist()).not.toEqual(factors);
    expect(weight.tolist()).toEqual(before);
    const last = layerOf(model).smoothing?.tolist();
    const unfrozen = model.forward(second).tolist();
    freeze(model);
    expect(model.forward(second).tolist()).toEqual(unfrozen);
    quantize(plain, { weights: 'qint8', activations: 'qint8' });
    calibration(() => plain.forward(second));
    const errorOf = (other: nn.Sequential) => other.forward(second).dequantize().sub(expected).square().mean().item();
    expect(errorOf(model)).toBeLessThan(errorOf(plain));

    calibration(() => model.forward(input(1000)), { streamline: false });
    expect(layerOf(model).smoothing?.tolist()).toEqual(last);
  });

  const build = () => new nn.Sequential(new nn.Linear(8, 8), new nn.ReLU(), new nn.Linear(8, 4));
  const calibrated = (options: Partial<Parameters<typeof quantize>[1]> = {}) => {
    const [model, src] = [build(), input(50)];
    const float = model.forward(src);
    quantize(model, { weights: 'qint8', activations: 'qint8', smoothing: 'dynamic', ...options });
    calibration(() => model.forward(src));
    return { model: model.eval(), src, float };
  };

  it('is in the files of models that are not frozen, and of those that are', async () => {
    const { model, src } = calibrated();
    await saveQuantized(model, folder());
    const loaded = (await loadQuantized(build(), folder())).eval();
    expect(loaded.forward(src).bytesSync()).toEqual(model.forward(src).bytesSync());
    freeze(model);
    freeze(loaded);
    expect(loaded.forward(src).bytesSync()).toEqual(model.forward(src).bytesSync());
    await saveQuantized(loaded, folder());
    expect((await loadQuantized(build(), folder())).eval().forward(src).bytesSync()).toEqual(model.forward(src).bytesSync());
  });

  it('loads into a model that has factors of its own', () => {
    const [{ model, src }, other] = [calibrated(), calibrated()];
    other.model.loadStateDict(model.stateDict());
    expect(other.model.forward(src).bytesSync()).toEqual(model.forward(src).bytesSync());
    const frozen = model.clone();
    freeze(frozen);
    other.model.loadStateDict(frozen.stateDict());
    expect(other.model.forward(src).bytesSync()).toEqual(frozen.forward(src).bytesSync());
  });

  it('keeps the function of float weights', () => {
    const { model, src, float } = calibrated({ weights: undefined });
    const error = model.forward(src).dequantize().sub(float).square().mean().item();
    expect(error / float.square().mean().item()).toBeLessThan(1e-3);
  });

  it('gives each layer of a shared weight its own factors', () => {
    class Tied extends nn.Module {
      readonly first = new nn.Linear(8, 8);
      readonly second = new nn.Linear(8, 8);
      constructor() {
        super();
        this.second.weight = this.first.weight;
      }
      forward(src: Tensor): Tensor {
        return this.second.forward(
          this.first
            .forward(src)
            .relu()
            .mul(tensor([1, 2, 3, 4, 5, 6, 7, 800])),
        );
      }
    }
    const [model, src] = [new Tied(), input(50)];
    quantize(model, { weights: 'qint8', activations: 'qint8', smoothing: 'dynamic' });
    calibration(() => model.forward(src));
    const expected = model.eval().forward(src).bytesSync();
    freeze(model);
    expect(model.forward(src).bytesSync()).toEqual(expected);
  });

  it('leaves the factors that smooth has given', async () => {
    const net = build();
    const src = input(50);
    const float = net.forward(src);
    await smooth(net, [src]);
    const factors = net[0] as nn.Linear;
    const before = factors.smoothing?.tolist();
    quantize(net, { weights: 'qint8', activations: 'qint8', smoothing: 'dynamic' });
    calibration(() => net.forward(src));
    expect(layerOf(net).smoothing?.tolist()).toEqual(before);
    const error = net.eval().forward(src).dequantize().sub(float).square().mean().item();
    expect(error / float.square().mean().item()).toBeLessThan(1e-3);
  });

  it('refuses what it does not know', () => {
    const call = (smoothing: unknown) => () => quantize(new nn.Linear(2, 2), { weights: 'qint8', smoothing: smoothing as 'dynamic' });
    expect(codeOf(call('static'))).toBe('INVALID_ARGUMENT');
    expect(codeOf(call({ alpha: 3 }))).toBe('INVALID_ARGUMENT');
  });
});
