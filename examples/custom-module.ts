// A module of your own and its quantized form: write it with QModule, register it, and `quantize` replaces it like the built-in ones.
//   npx ts-node examples/custom-module.ts
import {
  calibration,
  fallbacks,
  freeze,
  manualSeed,
  nn,
  noGrad,
  Parameter,
  QModule,
  qint8,
  quantize,
  randn,
  registerQModule,
  type Tensor,
} from 'quanto';

/** Splits [..., 2 n] into values and gates of n each: values * sigmoid(gates). */
function gate(both: Tensor): Tensor {
  const [values, gates] = both.chunk(2, -1);
  return values.mul(gates.sigmoid());
}

/** A gated linear unit (Dauphin et al. 2017): [..., inFeatures] -> [..., outFeatures]. */
class GatedLinear extends nn.Module {
  weight: Tensor;

  constructor(inFeatures: number, outFeatures: number) {
    super();
    this.weight = new Parameter(randn([2 * outFeatures, inFeatures]).div(Math.sqrt(inFeatures)));
  }

  forward(src: Tensor): Tensor {
    return gate(nn.functional.linear(src, this.weight));
  }
}

/** The same on `qweight`, the weight in int8, and on an input that is quantized once it is calibrated. */
class QGatedLinear extends QModule(GatedLinear) {
  override get quantizesInput(): boolean {
    return true;
  }

  compute(input: Tensor): Tensor {
    return gate(nn.functional.linear(input, this.qweight));
  }
}

registerQModule(GatedLinear, QGatedLinear);

manualSeed(1);
const model = new nn.Sequential(new GatedLinear(64, 256), new nn.Linear(256, 10));
const src = randn([32, 64]);
const float = noGrad(() => model.forward(src));

quantize(model, { weights: qint8, activations: qint8 });
calibration(() => noGrad(() => model.forward(src)));
freeze(model);
console.log(model);

const quantized = noGrad(() => model.forward(src));
const difference = quantized.dequantize().sub(float).abs().max().item();
console.log(`largest difference ${difference}, largest output ${float.abs().max().item()}`);
console.log('ops that ran on dequantized values:', fallbacks());
