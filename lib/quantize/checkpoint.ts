import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { loadTensors, saveSafetensors, writeFileAtomic } from '../io';
import type { AnyModule, LoadResult, StateDict } from '../nn';
import { QuantoError } from '../tensor/error';
import type { Device } from '../tensor/device';

import { quantizationMap, type QuantizationMap } from './map';
import { quantize } from './quantize';

const WEIGHTS = 'model.safetensors';
const MAP = 'quanto_qmap.json';
const CONFIG = 'config.json';

/**
 * Turns a float model into the quantized one that a state dict and its map describe, and loads it.
 * @returns the keys that were missing or left over
 */
export function requantize(
  model: AnyModule,
  stateDict: StateDict,
  map: QuantizationMap,
  options: { device?: Device; strict?: boolean } = {},
): LoadResult {
  const names = new Set(model.namedModules().map(([name]) => name));
  const unknown = Object.keys(map).filter((name) => !names.has(name));
  if (unknown.length > 0) {
    throw new QuantoError(
      'STATE_DICT',
      `[requantize] the model has no modules ${unknown.join(', ')}; build it with the architecture of the file`,
    );
  }
  quantize(model, { weights: map });
  const result = model.loadStateDict(stateDict, { strict: options.strict ?? false });
  if (options.device !== undefined) model.to(options.device);
  return result;
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
  await mkdir(directory, { recursive: true });
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
  const isEntry = (entry: unknown) =>
    typeof entry === 'object' &&
    entry !== null &&
    typeof (entry as { weights?: unknown }).weights === 'string' &&
    typeof (entry as { activations?: unknown }).activations === 'string';
  if (!entries?.every(([, entry]) => isEntry(entry))) {
    throw new QuantoError('INVALID_FILE', `[loadQuantized] expected ${path} to map module names to { weights, activations }`);
  }
  return Object.assign(Object.create(null) as QuantizationMap, map as QuantizationMap);
}

/**
 * Loads what `saveQuantized` (or Quanto) wrote into a float model of the same architecture, which becomes quantized and frozen.
 * @throws QuantoError 'IO', 'INVALID_FILE', or 'STATE_DICT' where the file does not fit the model (missing and left-over keys only if strict)
 */
export async function loadQuantized<M extends AnyModule>(model: M, directory: string, options: { strict?: boolean } = {}): Promise<M> {
  const map = await readMap(directory);
  requantize(model, await loadTensors(directory), map, { strict: options.strict ?? true });
  return model;
}
