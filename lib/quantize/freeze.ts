import type { AnyModule } from '../nn';

import { isQModule } from './qmodule';

/**
 * Replaces the float weights of all quantized modules by integer ones, in the form that the device's kernels stream. The float weights are
 * freed when nothing else holds them. A model whose activations were to be quantized but were never calibrated computes them in float:
 * a process warning names those modules.
 */
export function freeze(model: AnyModule): void {
  const uncalibrated: string[] = [];
  for (const [name, module] of model.namedModules()) {
    if (!isQModule(module)) continue;
    module.freeze();
    if (module.quantization.activations && module.quantizesInput && !module.calibrated.input) uncalibrated.push(name);
  }
  if (uncalibrated.length === 0) return;
  process.emitWarning(
    `activations of ${uncalibrated.join(', ')} were never calibrated and stay in float; run calibration() before freeze()`,
    {
      code: 'QUANTO_UNCALIBRATED',
    },
  );
}
