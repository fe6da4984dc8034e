import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import type { Side } from './qmodule';

/** What a calibration changes of a module. */
export interface Calibrated {
  input_scale: Tensor;
  output_scale: Tensor;
  calibrated: Record<Side, boolean>;
  outputQuantized: boolean;
  outputRequired: boolean;
  smoothing?: Tensor | null;
  channelMaxima?: Tensor | null;
  factorsPending: boolean;
}

const shared = (tensor: Tensor | null | undefined): Tensor | null => (tensor ? keep(tensor.share()) : null);

/**
 * The state of a module when a calibration meets it: what it goes back to where a sample turns out to have failed, which may show only
 * when a scale is read.
 */
export class RestorePoint {
  private readonly before: Calibrated;

  constructor(private readonly module: Calibrated) {
    const { input_scale, output_scale, calibrated, outputQuantized, outputRequired, smoothing, channelMaxima, factorsPending } = module;
    this.before = {
      input_scale: keep(input_scale.share()),
      output_scale: keep(output_scale.share()),
      calibrated: { ...calibrated },
      outputQuantized,
      outputRequired,
      smoothing: shared(smoothing),
      channelMaxima: shared(channelMaxima),
      factorsPending,
    };
  }

  restore(): void {
    const { module, before } = this;
    module.input_scale.replaceBy(before.input_scale);
    module.output_scale.replaceBy(before.output_scale);
    Object.assign(module.calibrated, before.calibrated);
    module.outputQuantized = before.outputQuantized;
    module.outputRequired = before.outputRequired;
    module.factorsPending = before.factorsPending;
    for (const name of ['smoothing', 'channelMaxima'] as const) {
      const [now, then] = [module[name], before[name]];
      if (now && then) now.replaceBy(then);
      else if (now) {
        now.dispose();
        module[name] = null;
      }
    }
  }

  dispose(): void {
    const { input_scale, output_scale, smoothing, channelMaxima } = this.before;
    for (const tensor of [input_scale, output_scale, smoothing, channelMaxima]) tensor?.dispose();
  }
}
