import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { openTensors, SafetensorsFile, saveTensors, type TensorSource, writeFileAtomic } from '../io';
import type { AnyModule, LoadResult, StateDict } from '../nn';
import { isPackable, packCodes, partKeys, qtypes, toQType } from '../qtensor';
import { QuantoError } from '../tensor/error';
import { type Device, deviceCode } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';

import { quantizationMap, type QuantizationMap } from './map';
import { mapOfMetadata, withShifts } from './old-layout';
import { quantizeUndoably } from './quantize';

const MAP = 'quanto_qmap.json';
// The second is the name in the original's README for state dicts that are saved by hand.
const MAPS = [MAP, 'quantization_map.json'];
const CONFIG = 'config.json';

/** Throws STATE_DICT unless the modules of a map are in the model, quantized as it says. */
function requireMatch(model: AnyModule, map: QuantizationMap): void {
  const built = quantizationMap(model);
  for (const [name, { weights, activations, dynamicActivations = 'none' }] of Object.entries(map)) {
    const found = (built as Partial<QuantizationMap>)[name];
    const sameDynamic = found && sameQType(found.dynamicActivations ?? 'none', dynamicActivations);
    if (sameDynamic && sameQType(found.weights, weights) && sameQType(found.activations, activations)) continue;
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
    const result = root.loadStateDict(withShifts(stateDict), { strict: options.strict ?? false, consume: options.consume });
    if (options.device !== undefined) root.to(options.device);
    return { ...result, model: root as M };
  } catch (error) {
    undo();
    throw error;
  }
}

/**
 * Writes model.safetensors, quanto_qmap.json and, where the model has a `config`, config.json into a folder, made if need be. A model
 * larger than `maxShardBytes` goes into shards with an index, as `saveTensors` writes them.
 */
export async function saveQuantized(model: AnyModule, directory: string, options: { maxShardBytes?: number } = {}): Promise<void> {
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
  await saveTensors(directory, model.stateDict(), { metadata: { format: 'pt' }, maxShardBytes: options.maxShardBytes });
  if (config !== undefined) await writeFileAtomic(join(directory, CONFIG), `${JSON.stringify(config, null, 2)}\n`);
  // Last, because its presence says that the folder holds a whole quantized model.
  await writeFileAtomic(join(directory, MAP), JSON.stringify(map, null, 4));
}

/** The text of the first map in a folder; null where there is none. */
async function readMapFile(directory: string): Promise<{ path: string; text: string } | null> {
  for (const path of MAPS.map((name) => join(directory, name))) {
    try {
      return { path, text: await readFile(path, 'utf8') };
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ENOTDIR') {
        throw new QuantoError('IO', `[loadQuantized] cannot read ${path} (${(cause as Error).message}); check its permissions`);
      }
    }
  }
  return null;
}

async function readMap(directory: string): Promise<QuantizationMap | null> {
  const file = await readMapFile(directory);
  if (!file) return null;
  const { path, text } = file;
  let map: unknown;
  try {
    map = JSON.parse(text);
  } catch (cause) {
    throw new QuantoError('INVALID_FILE', `[loadQuantized] ${path} is not JSON: ${(cause as Error).message}`);
  }
  return checkedMap(map, path, text);
}

function checkedMap(map: unknown, path: string, text: string): QuantizationMap {
  const entries = typeof map === 'object' && map !== null && !Array.isArray(map) ? Object.entries(map) : null;
  const isQType = (name: unknown) => name === 'none' || (typeof name === 'string' && name in qtypes);
  const isEntry = (entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return false;
    const { weights, activations, inputs = 'none', dynamicActivations = 'none' } = entry as Record<string, unknown>;
    return [weights, activations, inputs, dynamicActivations].every(isQType);
  };
  const wrong = entries?.find(([, entry]) => !isEntry(entry));
  if (!entries || wrong) {
    const came = wrong ? `${JSON.stringify(wrong[1])} for ${JSON.stringify(wrong[0])}` : text.slice(0, 40);
    throw new QuantoError('INVALID_FILE', `[loadQuantized] expected ${path} to map names to { weights, activations } but got ${came}`);
  }
  return Object.assign(Object.create(null) as QuantizationMap, map as QuantizationMap);
}

/** The map of a file without one beside it: what the metadata of an old layout says. */
function oldMap(source: TensorSource, directory: string): QuantizationMap {
  const map = source instanceof SafetensorsFile ? mapOfMetadata(source.metadata) : null;
  if (map) return checkedMap(map, `the metadata in ${directory}`, '');
  throw new QuantoError('IO', `[loadQuantized] no quantization map at ${join(directory, MAP)}; is this a quantized model?`);
}

/**
 * Reads the tensors of a model one by one. Integer weights are packed at once, and the row-major codes freed, so that at most one tensor
 * is in memory twice.
 */
async function readPacked(source: TensorSource, map: QuantizationMap, tensors: Record<string, Tensor>): Promise<void> {
  const codes = new Set(Object.keys(map).map((name) => `${name === '' ? '' : `${name}.`}weight.${partKeys.codes}`));
  for (const name of source.names()) {
    const tensor = await source.tensor(name);
    const packs = codes.has(name) && isPackable(tensor);
    tensors[name] = packs ? packCodes(tensor) : tensor;
    if (packs) tensor.dispose();
  }
}

/**
 * Loads what `saveQuantized` or any optimum-quanto since 0.1.0 wrote into a float model of the same architecture, which becomes quantized
 * and frozen. A failed load leaves it as it was.
 * @param directory a folder of model.safetensors, or of shards and their index, and quanto_qmap.json; without a map, or for the path of a
 *   file, the types come from the file's metadata, where optimum-quanto 0.1.0 to 0.2.2 wrote them
 * @throws QuantoError 'IO', 'INVALID_FILE', or 'STATE_DICT' where the file does not fit the model (missing and left-over keys only if strict)
 */
export async function loadQuantized<M extends AnyModule>(model: M, directory: string, options: { strict?: boolean } = {}): Promise<M> {
  const beside = await readMap(directory);
  await using source = await openTensors(directory);
  const map = beside ?? oldMap(source, directory);
  const tensors = Object.create(null) as Record<string, Tensor>;
  try {
    await readPacked(source, map, tensors);
    return requantize(model, tensors, map, { strict: options.strict ?? true, consume: true }).model;
  } finally {
    // What the model has not taken over.
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}
