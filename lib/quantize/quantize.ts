import type { AnyModule } from '../nn';
import { QType, requireActivationType, requireFitting, toQType, type WeightOptimizer } from '../qtensor';
import { QuantoError } from '../tensor/error';

import type { QuantizationMap } from './map';
import { type Observer, type ObserverName, toObserver } from './observers';
import { requireModel, requireModules } from './names';
import { nameFilter } from './patterns';
import type { QuantizationConfig } from './qmodule';
import { quantizedForm } from './registry';

export interface QuantizeOptions {
  /**
   * What weights become: a qtype or its name, or a map of module names, which says what activations become, too. Modules that the map does not
   * name stay as they are; names that the model lacks are an error unless `include` and `exclude` leave them out. Left out: float.
   */
  weights?: QType | string | QuantizationMap | null;
  /** What activations become, once they are calibrated. Left out: they stay in float. */
  activations?: QType | string | null;
  /**
   * Whether convolutions quantize their inputs to the type of the activations, and so compute in integers: several times faster on a CPU.
   * Default false: Quanto's convolutions compute in float, on inputs as they come. Ignored where `weights` is a map, which says it itself.
   */
  integerConvs?: boolean;
  /** What computes the scales of weights: by default the largest magnitude, or for less than 8 bits the range. */
  optimizer?: WeightOptimizer;
  /** Of weights of less than 8 bits: so many values share a scale, where it divides those of an output channel. Default: Quanto's rule. */
  groupSize?: number;
  /** What the scales of activations follow in a calibration: an observer or its name. Default 'movingAverage'. */
  observer?: Observer | ObserverName;
  /**
   * 'dynamic': the inputs of linear layers have a scale for each token, computed as they pass; no calibration is needed, and outputs stay in
   * float. Default 'static'.
   */
  activationScale?: 'static' | 'dynamic';
  /**
   * 'dynamic': in a calibration, factors for the channels of a linear layer's input follow the largest magnitudes that came so far, and
   * move ranges from the input into the weight until the model is frozen; `{ alpha }` says how far, 0.5 by default. See `smooth`.
   */
  smoothing?: 'dynamic' | { alpha: number };
  /** Names of the modules to quantize, with `*`, `?` and `[...]`; all by default. */
  include?: string | readonly string[];
  /** Names of the modules to leave. */
  exclude?: string | readonly string[];
  /** Whether the model itself changes; false: a clone of it. Default true. */
  inPlace?: boolean;
}

/** 'none' in files and null in options both mean float. */
function optionalQType(value: QType | string | null | undefined): QType | null {
  if (value === undefined || value === null || value === 'none') return null;
  return toQType(value);
}

function activationType(value: QType | string | null | undefined): QType | null {
  const qtype = optionalQType(value);
  if (qtype) requireActivationType('quantize', qtype);
  return qtype;
}

function isMap(weights: QuantizeOptions['weights']): weights is QuantizationMap {
  return typeof weights === 'object' && weights !== null && !(weights instanceof QType);
}

function activationOptions({ observer, activationScale, smoothing }: QuantizeOptions): Partial<QuantizationConfig> {
  if (activationScale !== undefined && activationScale !== 'static' && activationScale !== 'dynamic') {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[quantize] expected activationScale 'static' or 'dynamic' but got ${String(activationScale)}`,
    );
  }
  const alpha = smoothing === 'dynamic' ? 0.5 : smoothing?.alpha;
  if (smoothing !== undefined && !(typeof alpha === 'number' && alpha >= 0 && alpha <= 1)) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      "[quantize] expected smoothing 'dynamic' or { alpha } from 0 to 1; use smooth() for a fixed one",
    );
  }
  return { observer: observer === undefined ? undefined : toObserver(observer), activationScale, smoothing: alpha };
}

/** A user may come from plain JavaScript, or write a map by hand. */
function requireMapEntry(name: string, entry: unknown): void {
  const given = typeof entry === 'object' && entry !== null ? Object.keys(entry) : [];
  if (given.some((key) => ['weights', 'activations', 'dynamicActivations'].includes(key))) return;
  throw new QuantoError(
    'INVALID_ARGUMENT',
    `[quantize] expected { weights: 'qint8', activations: 'none' }, for example, for '${name}' but got ${JSON.stringify(entry)}`,
  );
}

/** What becomes of the module of a name; null leaves it. */
function planner(options: QuantizeOptions): (name: string) => QuantizationConfig | null {
  if (typeof options !== 'object' || options === null) {
    throw new QuantoError('INVALID_ARGUMENT', "[quantize] expected options such as { weights: 'qint8' } but got none");
  }
  const { weights, activations, integerConvs = false, optimizer = null, groupSize, include, exclude } = options;
  const chosen = nameFilter(include, exclude);
  if (groupSize !== undefined && !(Number.isInteger(groupSize) && groupSize > 0)) {
    throw new QuantoError('INVALID_ARGUMENT', `[quantize] expected a positive integer groupSize but got ${groupSize}`);
  }
  const forActivations = activationOptions(options);
  const configOf = (weights: QType | null, activations: QType | null): QuantizationConfig => {
    if (weights && optimizer) requireFitting('quantize', weights, optimizer);
    return { weights, activations, optimizer, groupSize, integerConvs, ...forActivations };
  };
  if (isMap(weights)) {
    const configs = new Map<string, QuantizationConfig>();
    for (const [name, entry] of Object.entries(weights)) {
      requireMapEntry(name, entry);
      const { dynamicActivations, inputs } = entry;
      const types = configOf(optionalQType(entry.weights), activationType(dynamicActivations ?? entry.activations));
      const config = { ...types, integerConvs: optionalQType(inputs) !== null };
      configs.set(name, dynamicActivations === undefined ? config : { ...config, activationScale: 'dynamic' });
    }
    return (name) => (chosen(name) ? (configs.get(name) ?? null) : null);
  }
  const config = configOf(optionalQType(weights), activationType(activations));
  if (!config.weights && !config.activations) {
    throw new QuantoError('INVALID_ARGUMENT', "[quantize] expected weights or activations; pass { weights: 'qint8' }, for example");
  }
  return (name) => (chosen(name) ? config : null);
}

/**
 * Replaces the modules that have a quantized form (Linear, Conv2d, LayerNorm, and what `registerQModule` added). Weights are quantized on
 * the fly from then on, so the model can still be trained; `freeze` makes that final. Modules that are quantized already stay as they are.
 * Forward hooks stay with the modules that were replaced.
 * @returns the model; when the model itself is such a module, its quantized form
 * @throws QuantoError INVALID_ARGUMENT or NOT_SUPPORTED, before anything changes
 */
export function quantize<M extends AnyModule>(model: M, options: QuantizeOptions): M {
  requireModel('quantize', model);
  const plan = planner(options);
  const { weights } = options;
  if (isMap(weights)) {
    const chosen = nameFilter(options.include, options.exclude);
    requireModules('quantize', model, Object.keys(weights).filter(chosen));
  }
  return replaceModules(options.inPlace === false ? model.clone() : model, plan).root as M;
}

/** A quantized model, and how to give the float one its modules back. */
export interface Replacement {
  readonly root: AnyModule;
  readonly undo: () => void;
}

/** @internal What `quantize` does. */
export function quantizeUndoably(model: AnyModule, options: QuantizeOptions): Replacement {
  return replaceModules(model, planner(options));
}

function replaceModules(model: AnyModule, plan: (name: string) => QuantizationConfig | null): Replacement {
  const changes: (() => void)[] = [];
  // A shared module is replaced by one quantized module under each of its names.
  const replaced = new Map<AnyModule, AnyModule>();
  const visit = (parent: AnyModule, prefix: string) => {
    for (const [name, child] of parent.namedChildren()) {
      const path = prefix === '' ? name : `${prefix}.${name}`;
      const config = plan(path);
      const quantized = replaced.get(child) ?? (config && quantizedForm(child, config));
      if (quantized) {
        replaced.set(child, quantized);
        changes.push(() => parent.setSubmodule(name, child));
        parent.setSubmodule(name, quantized);
      } else {
        visit(child, path);
      }
    }
  };
  const config = plan('');
  const own = config && quantizedForm(model, config);
  if (!own) visit(model, '');
  return { root: own ?? model, undo: () => changes.forEach((change) => change()) };
}
