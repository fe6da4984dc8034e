import { memory, ones, tensor, type Tensor } from '../../lib';
import { type Calibrated, RestorePoint } from '../../lib/quantize/restore-point';

const calibratedModule = (smoothing: Tensor | null): Calibrated => ({
  input_scale: tensor(0.5),
  output_scale: tensor(0.25),
  calibrated: { input: true, output: false },
  outputQuantized: false,
  outputRequired: true,
  smoothing,
  channelMaxima: smoothing && tensor([4, 1]),
  factorsPending: smoothing !== null,
});

/** What a calibration would do. */
function change(module: Calibrated): void {
  for (const scale of [module.input_scale, module.output_scale]) scale.replaceBy(tensor(7));
  module.calibrated.output = true;
  Object.assign(module, { outputQuantized: true, outputRequired: false, factorsPending: true });
  if (module.smoothing) module.smoothing.replaceBy(tensor([9, 9]));
  else module.smoothing = ones([2]);
  module.channelMaxima?.dispose();
  module.channelMaxima = tensor([8, 8]);
}

const plain = ({ input_scale, output_scale, smoothing, channelMaxima, ...rest }: Calibrated) => ({
  ...rest,
  values: [input_scale, output_scale, smoothing, channelMaxima].map((tensor) => tensor?.tolist() ?? null),
});

test.each([null, tensor([2, 1])])('gives a module back what a calibration has changed', (smoothing) => {
  const it = calibratedModule(smoothing);
  const before = structuredClone(plain(it));
  const [scale] = [it.input_scale];
  const point = new RestorePoint(it);
  change(it);
  expect(plain(it)).not.toEqual(before);
  point.restore();
  expect(plain(it)).toEqual(before);
  expect(it.input_scale).toBe(scale);
});

test('holds no tensor once it is disposed', () => {
  const it = calibratedModule(tensor([2, 1]));
  const { tensors } = memory();
  const point = new RestorePoint(it);
  point.dispose();
  expect(memory().tensors).toBe(tensors);
  expect(it.input_scale.item()).toBe(0.5);
});
