import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { openTensors, saveSafetensors, writeFileAtomic } from '../io';
import type { AnyModule, LoadResult, StateDict } from '../nn';
import { isPackable, packCodes, partKeys, qtypes, toQType } from '../qtensor';
import { QuantoError } from '../tensor/error';
import { type Device, deviceCode } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';

import { quantizationMap, type QuantizationMap } from './map';
import { quantizeUndoably } from './quantize';

const WEIGHTS = 'model.safetensors';
const MAP = 'quanto_qmap.json';
const CONFIG = 'config.json';

/** Throws STATE_DICT unless the modules of a map are in the model, quantized as it says. */
function requireMatch(model: AnyModule, map: QuantizationMap): void {
  const built = quantizationMap(model);
  for (const [name, { weights, activations }] of Object.entries(map)) {
    const found = (built as Partial<QuantizationMap>)[name];
    if (found && sameQType(found.weights, weights) && sameQType(found.activations, activations)) continue;
    const came = found ? `weights ${found.weights} and activations ${found.activations}` : 'no module of that name that can be quantized';
    throw new QuantoError(
      'STATE_DICT',
      `[requantize] expected '${name}' with weights ${weights} and activations ${activations} but found ${came}; build a float model of the file's architecture`,
    );
  }
}

/** 'qfloat8' is a second name. */
function sameQType(a: string, b: string): boolean {
  return a === b || (a !== 'none' && b !== 'none' && toQType(a) === toQType(b));
}

/** The keys of a load, and the model: its quantized form where the model itself is a quantizable module. */
export interface RequantizeResult<M extends AnyModule> extends LoadResult {
  readonly model: M;
}

/**
 * Turns a float model into the quantized one that a state dict and its map describe, and loads it. `consume` frees the tensors of the
 * state dict as `loadStateDict` does.
 * @throws QuantoError STATE_DICT where map or state dict does not fit; the model is as it was then
 */
export function requantize<M extends AnyModule>(
  model: M,
  stateDict: StateDict,
  map: QuantizationMap,
  options: { device?: Device; strict?: boolean; consume?: boolean } = {},
): RequantizeResult<M> {
  if (options.device !== undefined) deviceCode(options.device);
  const { root, undo } = quantizeUndoably(model, { weights: map });
  try {
    requireMatch(root, map);
    const result = root.loadStateDict(stateDict, { strict: options.strict ?? false, consume: options.consume });
    if (options.device !== undefined) root.to(options.device);
    return { ...result, model: root as M };
  } catch (error) {
    undo();
    throw error;
  }
}

/** Writes model.safetensors, quanto_qmap.json and, where the model has a `config`, config.json into a folder, made if need be. */
export async function saveQuantized(model: AnyModule, directory: string): Promise<void> {
  const map = quantizationMap(model);
  if (Object.keys(map).length === 0) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      '[saveQuantized] this model has no quantized modules; quantize() it first, or use saveSafetensors',
    );
  }
  try {
    await mkdir(directory, { recursive: true });
  } catch (cause) {
    throw new QuantoError('IO', `[saveQuantized] cannot make the folder ${directory} (${(cause as Error).message}); pass another path`);
  }
  const { config } = model as { config?: unknown };
  await saveSafetensors(join(directory, WEIGHTS), model.stateDict(), { format: 'pt' });
  if (config !== undefined) await writeFileAtomic(join(directory, CONFIG), `${JSON.stringify(config, null, 2)}\n`);
  // Last, because its presence says that the folder holds a whole quantized model.
  await writeFileAtomic(join(directory, MAP), JSON.stringify(map, null, 4));
}

async function readMap(directory: string): Promise<QuantizationMap> {
  const path = join(directory, MAP);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new QuantoError('IO', `[loadQuantized] no quantization map at ${path} (${(cause as Error).message}); is this a quantized model?`);
  }
  let map: unknown;
  try {
    map = JSON.parse(text);
  } catch (cause) {
    throw new QuantoError('INVALID_FILE', `[loadQuantized] ${path} is not JSON: ${(cause as Error).message}`);
  }
  const entries = typeof map === 'object' && map !== null && !Array.isArray(map) ? Object.entries(map) : null;
  const isQType = (name: unknown) => name === 'none' || (typeof name === 'string' && name in qtypes);
  const isEntry = (entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return false;
    const { weights, activations, inputs = 'none' } = entry as Record<string, unknown>;
    return isQType(weights) && isQType(activations) && isQType(inputs);
  };
  const wrong = entries?.find(([, entry]) => !isEntry(entry));
  if (!entries || wrong) {
    const came = wrong ? `${JSON.stringify(wrong[1])} for ${JSON.stringify(wrong[0])}` : text.slice(0, 40);
    throw new QuantoError('INVALID_FILE', `[loadQuantized] expected ${path} to map names to { weights, activations } but got ${came}`);
  }
  return Object.assign(Object.create(null) as QuantizationMap, map as QuantizationMap);
}

/**
 * Reads the tensors of a model one by one. Integer weights are packed at once, and the row-major codes freed, so that at most one tensor
 * is in memory twice.
 */
async function readPacked(directory: string, map: QuantizationMap, tensors: Record<string, Tensor>): Promise<void> {
  await using source = await openTensors(directory);
  const codes = new Set(Object.keys(map).map((name) => `${name === '' ? '' : `${name}.`}weight.${partKeys.codes}`));
  for (const name of source.names()) {
    const tensor = await source.tensor(name);
    const packs = codes.has(name) && isPackable(tensor);
    tensors[name] = packs ? packCodes(tensor) : tensor;
    if (packs) tensor.dispose();
  }
}

/**
 * Loads what `saveQuantized` (or Quanto) wrote into a float model of the same architecture, which becomes quantized and frozen. A failed
 * load leaves it as it was.
 * @throws QuantoError 'IO', 'INVALID_FILE', or 'STATE_DICT' where the file does not fit the model (missing and left-over keys only if strict)
 */
export async function loadQuantized<M extends AnyModule>(model: M, directory: string, options: { strict?: boolean } = {}): Promise<M> {
  const map = await readMap(directory);
  const tensors = Object.create(null) as Record<string, Tensor>;
  try {
    await readPacked(directory, map, tensors);
    return requantize(model, tensors, map, { strict: options.strict ?? true, consume: true }).model;
  } finally {
    // What the model has not taken over.
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}
