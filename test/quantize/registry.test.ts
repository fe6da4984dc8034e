import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import {
  calibration,
  freeze,
  loadQuantized,
  manualSeed,
  nn,
  QLinear,
  QModule,
  QTensor,
  quantize,
  randn,
  registerQModule,
  saveQuantized,
  type Tensor,
} from '../../lib';
import { conv2d } from '../../lib/ops/conv';
import { isQModule, type QuantizedModule } from '../../lib/quantize';

manualSeed(1);

/** A convolution along one dimension, which the library does not have: [N, in, L] -> [N, out, L - k + 1]. */
class Conv1d extends nn.Module {
  weight: Tensor;
  bias: Tensor;

  constructor(inChannels: number, outChannels: number, kernelSize: number) {
    super();
    this.weight = new nn.Parameter(randn([outChannels, inChannels, kernelSize]));
    this.bias = new nn.Parameter(randn([outChannels]));
  }

  forward(src: Tensor): Tensor {
    return convolve(src, this.weight, this.bias);
  }
}

const convolve = (src: Tensor, weight: Tensor, bias: Tensor) => conv2d(src.unsqueeze(2), weight.unsqueeze(2), bias).squeeze(2);

class QConv1d extends QModule(Conv1d) {
  compute(input: Tensor): Tensor {
    return convolve(input, this.qweight, this.bias);
  }
}
registerQModule(Conv1d, QConv1d);

describe('a module of the user', () => {
  const build = () => new nn.Sequential(new Conv1d(3, 4, 5), new nn.ReLU(), new nn.Linear(8, 2));
  const x = randn([2, 3, 12]);

  it("is quantized, calibrated and frozen as the library's are", () => {
    const model = build();
    const expected = model.forward(x);
    quantize(model, { weights: 'qint8', activations: 'qint8' });
    expect(model[0]).toBeInstanceOf(QConv1d);
    const layer = model[0] as unknown as QuantizedModule & Conv1d;
    calibration(() => model.forward(x));
    expect(layer.calibrated).toEqual({ input: true, output: true });
    // The linear layer behind it takes integers.
    expect(layer.outputQuantized).toBe(true);
    const unfrozen = model.forward(x).bytesSync();
    freeze(model);
    expect(layer.weight).toBeInstanceOf(QTensor);
    expect((layer.weight as QTensor).scale.shape).toEqual([4, 1, 1]);
    expect(model.forward(x).bytesSync()).toEqual(unfrozen);
    expect(model.forward(x).allclose(expected, { atol: 0.2, rtol: 0.05 })).toBe(true);
  });

  it('is tuned', () => {
    const model = quantize(build(), { weights: 'qint8' });
    model.forward(x).sum().backward();
    expect((model[0] as unknown as Conv1d).weight.grad?.shape).toEqual([4, 3, 5]);
  });

  it('is saved and loaded, under names that follow from it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'quanto-'));
    try {
      const model = quantize(build(), { weights: 'qint8', activations: 'qint8' });
      calibration(() => model.forward(x));
      freeze(model);
      expect(
        Object.keys(model.stateDict())
          .filter((name) => name.startsWith('0.'))
          .sort(),
      ).toEqual(['0.bias', '0.input_scale', '0.output_scale', '0.weight._data', '0.weight._scale']);
      await saveQuantized(model, folder);
      const loaded = await loadQuantized(build(), folder);
      expect(loaded.forward(x).bytesSync()).toEqual(model.forward(x).bytesSync());
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('subclasses', () => {
  class Scaled extends nn.Linear {
    override forward(src: Tensor): Tensor {
      return super.forward(src).mul(2);
    }
  }
  class Named extends nn.Linear {
    readonly label = 'first';
  }
  class Arrow extends nn.Linear {
    override forward = (src: Tensor): Tensor => nn.functional.linear(src, this.weight, this.bias).mul(2);
  }

  it('with a forward of their own are left alone, because another form would compute something else', () => {
    const model = quantize(new nn.Sequential(new Scaled(4, 4), new Arrow(4, 4)), { weights: 'qint8' });
    expect([...model].map(({ constructor }) => constructor)).toEqual([Scaled, Arrow]);
  });

  it('without one are quantized, and keep their properties', () => {
    const model = quantize(new nn.Sequential(new Named(4, 4)), { weights: 'qint8' });
    expect(model[0]).toBeInstanceOf(QLinear);
    expect((model[0] as unknown as Named).label).toBe('first');
  });

  it('may have a quantized form of their own, which comes before that of their class', () => {
    class QScaled extends QModule(Scaled) {
      compute(input: Tensor): Tensor {
        return nn.functional.linear(input, this.qweight, this.bias).mul(2);
      }
    }
    registerQModule(Scaled, QScaled);
    const model = new nn.Sequential(new Scaled(4, 4), new nn.Linear(4, 4));
    const x = randn([3, 4]);
    const expected = model[0].forward(x);
    quantize(model, { weights: 'qint8' });
    expect([...model].map(({ constructor }) => constructor)).toEqual([QScaled, QLinear]);
    expect(model[0].forward(x).allclose(expected, { atol: 0.1 })).toBe(true);
  });

  it("a hook does not count as a forward of the module's own", () => {
    const layer = new nn.Linear(4, 4);
    layer.registerForwardHook(() => undefined);
    expect(isQModule(quantize(new nn.Sequential(layer), { weights: 'qint8' })[0])).toBe(true);
  });
});
