import type { AnyModule } from '../nn';

import type { Tensor } from '../tensor/tensor';

import { requireModel } from './names';
import { isQModule, type QuantizedModule } from './qmodule';

/**
 * Replaces the float weights of all quantized modules by integer ones, in the form that the device's kernels stream. The float weights are
 * freed when nothing else holds them. A model whose activations were to be quantized but were never calibrated computes them in float:
 * a process warning names those modules.
 */
export function freeze(model: AnyModule): void {
  requireModel('freeze', model);
  const uncalibrated: string[] = [];
  const frozen = new Map<Tensor, QuantizedModule>();
  for (const [name, module] of model.namedModules()) {
    if (!isQModule(module)) continue;
    const wasFrozen = module.frozen;
    module.freeze(frozen);
    const { calibrated } = module;
    // A file does not tell an output that was never calibrated from one that stays in float.
    const isKnown = module.quantizesInput ? calibrated.input : calibrated.output || wasFrozen || !module.frozen;
    const { activations, activationScale } = module.quantization;
    if (activations && activationScale !== 'dynamic' && !isKnown) uncalibrated.push(name === '' ? module.constructor.name : name);
  }
  if (uncalibrated.length === 0) return;
  process.emitWarning(
    `activations of ${uncalibrated.join(', ')} were never calibrated and stay in float; run calibration() before freeze()`,
    {
      code: 'QUANTO_UNCALIBRATED',
    },
  );
}
