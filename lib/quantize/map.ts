import type { AnyModule } from '../nn';

import { QConv2d } from './qconv2d';
import { isQModule } from './qmodule';

/**
 * Which qtypes the modules of a model have, by dotted name; 'none' is float. What quanto_qmap.json holds. `inputs` stands only where a
 * convolution quantizes its input, which the original's never do.
 */
export type QuantizationMap = Record<string, { weights: string; activations: string; inputs?: string }>;

/** The qtypes of every quantized module. */
export function quantizationMap(model: AnyModule): QuantizationMap {
  const map = Object.create(null) as QuantizationMap;
  for (const [name, module] of model.namedModules()) {
    if (!isQModule(module)) continue;
    const { weights, activations, integerConvs } = module.quantization;
    map[name] = {
      weights: weights?.name ?? 'none',
      activations: activations?.name ?? 'none',
      ...(activations && integerConvs && module instanceof QConv2d ? { inputs: activations.name } : {}),
    };
  }
  return map;
}
