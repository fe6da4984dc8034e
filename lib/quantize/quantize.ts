import type { AnyModule } from '../nn';
import { QType, requireActivationType, requireFitting, toQType, type WeightOptimizer } from '../qtensor';
import { QuantoError } from '../tensor/error';

import type { QuantizationMap } from './map';
import { nameFilter } from './patterns';
import type { QuantizationConfig } from './qmodule';
import { quantizedForm } from './registry';

export interface QuantizeOptions {
  /** What weights become: a qtype or its name, or a map of module names. Left out: they stay in float. */
  weights?: QType | string | QuantizationMap | null;
  /** What activations become, once they are calibrated. Left out: they stay in float. */
  activations?: QType | string | null;
  /** What computes the scales of weights: by default the largest magnitude, or for less than 8 bits the range. */
  optimizer?: WeightOptimizer;
  /** Of weights of less than 8 bits: so many values share a scale, where it divides those of an output channel. Default: Quanto's rule. */
  groupSize?: number;
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

/** What becomes of the module of a name; null leaves it. */
function planner(options: QuantizeOptions): (name: string) => QuantizationConfig | null {
  const { weights, activations, optimizer = null, groupSize, include, exclude } = options;
  const chosen = nameFilter(include, exclude);
  if (groupSize !== undefined && !(Number.isInteger(groupSize) && groupSize > 0)) {
    throw new QuantoError('INVALID_ARGUMENT', `[quantize] expected a positive integer groupSize but got ${groupSize}`);
  }
  const configOf = (weights: QType | null, activations: QType | null): QuantizationConfig => {
    if (weights && optimizer) requireFitting('quantize', weights, optimizer);
    return { weights, activations, optimizer, groupSize };
  };
  if (isMap(weights)) {
    const configs = new Map<string, QuantizationConfig>();
    for (const [name, entry] of Object.entries(weights)) {
      configs.set(name, configOf(optionalQType(entry.weights), activationType(entry.activations)));
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
 */
export function quantize<M extends AnyModule>(model: M, options: QuantizeOptions): M {
  const plan = planner(options);
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
