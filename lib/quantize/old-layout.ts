// Files of optimum-quanto 0.1.0 to 0.2.2: no map beside the tensors but types in the file's metadata, and integer zero points.
import type { StateDict } from '../nn';

import type { QuantizationMap } from './map';

const WEIGHTS = '.weight_qtype';
const ACTIVATIONS = '.activation_qtype';
const ZERO_POINT = '.weight._zeropoint';
const SHIFT = '.weight._shift';

/** The map that the metadata of an old file holds (`quanto.safe_save`), or null where it holds none. */
export function mapOfMetadata(metadata: Readonly<Record<string, string>>): QuantizationMap | null {
  const map = Object.create(null) as QuantizationMap;
  for (const [key, weights] of Object.entries(metadata)) {
    if (!key.endsWith(WEIGHTS)) continue;
    const name = key.slice(0, -WEIGHTS.length);
    map[name] = { weights, activations: metadata[name + ACTIVATIONS] ?? 'none' };
  }
  return Object.keys(map).length === 0 ? null : map;
}

/** The tensors under the names of today: a zero point is an integer shift. */
export function withShifts(stateDict: StateDict): StateDict {
  const entries = Object.entries(stateDict);
  if (!entries.some(([key]) => key.endsWith(ZERO_POINT))) return stateDict;
  const renamed = entries.map(([key, part]) => [key.endsWith(ZERO_POINT) ? key.slice(0, -ZERO_POINT.length) + SHIFT : key, part] as const);
  return Object.assign(Object.create(null) as Record<string, never>, Object.fromEntries(renamed));
}
