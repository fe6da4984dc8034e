import type { AnyModule } from '../nn';

import { QConv2d } from './qconv2d';
import { isQModule } from './qmodule';

/** Which qtypes the modules of a model have, by dotted name; 'none' is float. What quanto_qmap.json holds. */
export type QuantizationMap = Record<
  string,
  {
    weights: string;
    activations: string;
    /** Where a convolution quantizes its input, which the original's never do. */
    inputs?: string;
    /** The type of activations with a scale for each token. To the original, which does not know them, they are 'none'. */
    dynamicActivations?: string;
  }
>;

/** The qtypes of every quantized module. */
export function quantizationMap(model: AnyModule): QuantizationMap {
  const map = Object.create(null) as QuantizationMap;
  for (const [name, module] of model.namedModules()) {
    if (!isQModule(module)) continue;
    const { weights, activations, activationScale, integerConvs } = module.quantization;
    const dynamic = activations && activationScale === 'dynamic';
    map[name] = {
      weights: weights?.name ?? 'none',
      activations: dynamic ? 'none' : (activations?.name ?? 'none'),
      ...(activations && !dynamic && integerConvs && module instanceof QConv2d ? { inputs: activations.name } : {}),
      ...(dynamic ? { dynamicActivations: activations.name } : {}),
    };
  }
  return map;
}
