import type { AnyModule } from '../nn';

import { isQModule } from './qmodule';

/** Which qtypes the modules of a model have, by dotted name; 'none' is float. What quanto_qmap.json holds. */
export type QuantizationMap = Record<
  string,
  {
    weights: string;
    activations: string;
    /** The type of activations with a scale for each token. To the original, which does not know them, they are 'none'. */
    dynamicActivations?: string;
  }
>;

/** The qtypes of every quantized module. */
export function quantizationMap(model: AnyModule): QuantizationMap {
  const map = Object.create(null) as QuantizationMap;
  for (const [name, module] of model.namedModules()) {
    if (!isQModule(module)) continue;
    const { weights, activations, activationScale } = module.quantization;
    const names = { weights: weights?.name ?? 'none', activations: activations?.name ?? 'none' };
    const dynamic = activations && activationScale === 'dynamic';
    map[name] = dynamic ? { ...names, activations: 'none', dynamicActivations: activations.name } : names;
  }
  return map;
}
