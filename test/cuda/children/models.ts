// Float, calibrated and frozen models on the emulated device and back: the same numbers, and no byte left there.
import {
  calibration,
  deviceMemory,
  emptyCache,
  freeze,
  manualSeed,
  nn,
  noGrad,
  optim,
  qint8,
  quantize,
  randn,
  synchronize,
  tidy,
  type Tensor,
} from '../../../lib';
import { ResNet } from '../../../lib/models';
import { native } from '../../../lib/native';
import { collectGarbage } from '../../harness/garbage';

const build = () =>
  new nn.Sequential(
    new nn.Conv2d(1, 4, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(4 * 36, 24),
    new nn.LayerNorm(24),
    new nn.Linear(24, 16),
    new nn.GELU(),
    new nn.Linear(16, 16),
    new nn.RMSNorm(16),
    new nn.Linear(16, 8),
  );

/** Largest difference of two results, relative to the largest value. */
function distance(a: Tensor, b: Tensor): number {
  const [x, y] = [a, b].map((t) => Array.from(t.dequantize().to('cpu').dataSync() as Float32Array));
  return Math.max(...x.map((value, i) => Math.abs(value - y[i]))) / Math.max(...x.map(Math.abs));
}

const equal = (a: Tensor, b: Tensor) => Buffer.compare(a.dequantize().to('cpu').bytesSync(), b.dequantize().to('cpu').bytesSync()) === 0;

/** Four steps of training. The optimizer refers to the float weights, and goes with them when it ends. */
function tune(model: nn.Module, input: Tensor): number[] {
  using optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const losses = [0, 1, 2, 3].map(() =>
    tidy(() => {
      optimizer.zeroGrad();
      const loss = model.forward(input).dequantize().square().mean();
      loss.backward();
      optimizer.step();
      return loss;
    }).item(),
  );
  optimizer.zeroGrad();
  return losses;
}

/** Names of the native calls of a function, one by one. */
function callsOf(run: () => unknown): string[] {
  const functions = native as unknown as Record<string, (...args: unknown[]) => unknown>;
  const calls: string[] = [];
  const before = { ...functions };
  for (const name of Object.keys(before).filter((each) =>
    /^(conv2d|batchNorm|unary|binary|quantize|dequantize|packWeight|unpackWeight)/.test(each),
  )) {
    functions[name] = (...args) => (calls.push(name), before[name](...args));
  }
  run();
  Object.assign(functions, before);
  return [...new Set(calls)].sort();
}

/** A residual network: float, then of integers with fused norms, packed on each device as its kernels want. */
async function moveResidual(report: Record<string, unknown>): Promise<void> {
  using x = randn([2, 3, 9, 7]);
  using far = x.to('cuda');
  const model = new ResNet({ depth: 8 }).eval();
  const forward = (input: Tensor) => noGrad(() => model.forward(input));
  const home = forward(x);
  model.to('cuda');
  report.residualFloat = distance(home, forward(far));
  report.residualFloatCalls = callsOf(() => forward(far));
  model.to('cpu');
  report.residualFloatBack = equal(home, forward(x));

  quantize(model, { weights: qint8, activations: qint8, integerConvs: true });
  await calibration(async () => void (await forward(x).dequantize().data()));
  freeze(model);
  const frozen = forward(x);
  report.residualMoveCalls = callsOf(() => model.to('cuda'));
  const there = forward(far);
  report.residualFrozen = distance(frozen, there);
  report.residualFrozenCalls = callsOf(() => forward(far));
  model.to('cpu');
  report.residualFrozenBack = equal(frozen, forward(x));
  model.to('cuda');
  report.residualPackedBack = equal(there, forward(far));
  model.to('cpu');
  there.dispose();
}

async function main(): Promise<void> {
  const report: Record<string, unknown> = {};
  manualSeed(3);
  const model = build();
  const x = randn([5, 1, 6, 6]);
  const far = x.to('cuda');
  const forward = (input: Tensor) => noGrad(() => model.forward(input));

  const home = forward(x);
  model.to('cuda');
  report.devices = [...new Set(model.parameters().map((parameter) => parameter.device))];
  report.float = distance(home, forward(far));
  model.to('cpu');
  report.floatBack = equal(home, forward(x));

  model.to('cuda');
  quantize(model, { weights: qint8, activations: qint8 });
  await calibration(async () => void (await forward(far).dequantize().data()));
  const losses = tune(model, far);
  report.learns = losses[3] < losses[0];
  freeze(model);
  const frozen = forward(far);
  model.to('cpu');
  report.frozen = distance(frozen, forward(x));
  const packed = forward(x);
  model.to('cuda');
  report.frozenBack = equal(frozen, forward(far));
  model.to('cpu');
  report.packedBack = equal(packed, forward(x));

  far.dispose();
  frozen.dispose();
  await moveResidual(report);
  synchronize();
  await collectGarbage();
  emptyCache();
  report.left = deviceMemory('cuda');
  process.stdout.write(JSON.stringify(report));
}

void main();
