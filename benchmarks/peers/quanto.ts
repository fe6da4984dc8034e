// This library as a contestant, used as its README says: evaluation without history, frozen models, temporaries freed at once.
import {
  calibration,
  type Device,
  deviceInfo,
  freeze,
  manualSeed,
  models,
  nn,
  noGrad,
  optim,
  quantize,
  setFloat32MatmulPrecision,
  type Tensor,
  tensor,
  tidy,
  version,
} from 'quanto';

import { labels, uniform } from '../harness/numbers';
import type { Workload } from '../harness/protocol';
import { Encoder, type EncoderShape } from '../models/encoder';
import { prepareCall } from './call-workload';
import { onDevice, preparePeak } from './device-workload';
import { prepareOp } from './op-workload';
import { type Prepared, serve } from './serve';

/** Floats of a dtype, or quantized; `high` is that of `setFloat32MatmulPrecision`. */
export type Precision =
  'float32' | 'float16' | 'bfloat16' | 'W8' | 'W8 high' | 'W8A8' | 'W8A8 dynamic' | 'W4' | 'W4A8 dynamic' | 'W2' | 'Wf8';

type Float = nn.Module<[Tensor]>;

function input(shape: readonly number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return tensor(uniform(count, 1), { shape: [...shape] });
}

const isFloat = (precision: Precision): precision is 'float32' | 'float16' | 'bfloat16' => precision.includes('float');

/** The model in a precision, ready for inference. */
async function inPrecision(model: Float, precision: Precision, x: Tensor): Promise<Float> {
  if (isFloat(precision)) return model.to(precision).eval();
  const options = {
    W8: { weights: 'qint8' },
    'W8 high': { weights: 'qint8' },
    W8A8: { weights: 'qint8', activations: 'qint8', integerConvs: true },
    'W8A8 dynamic': { weights: 'qint8', activations: 'qint8', activationScale: 'dynamic' },
    W4: { weights: 'qint4', groupSize: 32 },
    'W4A8 dynamic': { weights: 'qint4', activations: 'qint8', activationScale: 'dynamic', groupSize: 32 },
    W2: { weights: 'qint2', groupSize: 32 },
    Wf8: { weights: 'qfloat8' },
  } as const;
  setFloat32MatmulPrecision(precision === 'W8 high' ? 'high' : 'highest');
  const quantized = quantize(model, options[precision]).eval();
  if (precision === 'W8A8') {
    await calibration(async () => {
      const output = noGrad(() => quantized.forward(x));
      await output.data();
    });
  }
  freeze(quantized);
  return quantized;
}

async function inference(model: Float, inputShape: readonly number[], workload: ModelWorkload): Promise<Prepared> {
  const { precision, device = 'cpu', calls = 1 } = workload;
  manualSeed(1);
  // On a GPU the floats beside integers are half as wide.
  const dtype = isFloat(precision) ? precision : device === 'cpu' ? 'float32' : 'float16';
  const x = input(inputShape).to(dtype).to(device);
  const ready = await inPrecision(model.to(dtype).to(device), precision, x);
  const forward = () => noGrad(() => tidy(() => ready.forward(x).dequantize()));
  const onHost = {
    run: async () => {
      using output = forward();
      await output.data();
    },
    facts: { kernels: deviceInfo().cpu },
  };
  return {
    ...(device === 'cpu' ? onHost : onDevice(forward, calls)),
    dispose: () => {
      for (const state of Object.values(ready.stateDict())) state.dispose();
      x.dispose();
    },
  };
}

/** One step of training, loss read at its end. */
function training(model: Float, x: Tensor, loss: (output: Tensor) => Tensor): Prepared {
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  model.train();
  return {
    run: async () => {
      using value = tidy(() => {
        optimizer.zeroGrad();
        const value = loss(model.forward(x));
        value.backward();
        optimizer.step();
        return value;
      });
      await value.data();
    },
  };
}

interface ModelWorkload extends Workload {
  readonly precision: Precision;
  readonly device?: Device;
  /** Calls of one run on a device. */
  readonly calls?: number;
}
interface EncoderWorkload extends ModelWorkload, EncoderShape {
  readonly batch: number;
  readonly length: number;
}

async function quantizedForTraining(model: Float, precision: Precision, x: Tensor): Promise<void> {
  if (precision === 'float32') return;
  quantize(model, { weights: 'qint8', activations: 'qint8' });
  await calibration(async () => void (await noGrad(() => model.forward(x)).data()));
}

void serve(
  {
    op: prepareOp,
    call: prepareCall,
    peak: preparePeak,
    linear: (workload) => {
      const { m, k, n } = workload as ModelWorkload & { m: number; k: number; n: number };
      return inference(new nn.Sequential(new nn.Linear(k, n)), [m, k], workload as ModelWorkload);
    },
    encoder: (workload) => {
      const { batch, length, hidden, ...shape } = workload as EncoderWorkload;
      return inference(new Encoder({ hidden, ...shape }), [batch, length, hidden], workload as EncoderWorkload);
    },
    resnet20: (workload) => {
      const { batch } = workload as ModelWorkload & { batch: number };
      return inference(new models.ResNet(), [batch, 3, 32, 32], workload as ModelWorkload);
    },
    'train mlp': async (workload) => {
      const { batch, precision } = workload as ModelWorkload & { batch: number };
      const model = new models.MLP([784, 512, 512, 10]);
      const x = input([batch, 784]);
      const y = tensor(labels(batch, 10, 2), { dtype: 'int64' });
      await quantizedForTraining(model, precision, x);
      return training(model, x, (output) => nn.functional.crossEntropy(output, y));
    },
    'train encoder': async (workload) => {
      const { batch, length, hidden, precision, ...shape } = workload as EncoderWorkload;
      const model = new Encoder({ hidden, ...shape });
      const x = input([batch, length, hidden]);
      await quantizedForTraining(model, precision, x);
      return training(model, x, (output) => output.mul(output).mean());
    },
  },
  { quanto: version, node: process.version },
);
