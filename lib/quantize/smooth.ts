import { native } from '../native';
import { type AnyModule, LayerNorm, Linear, type Module, RMSNorm } from '../nn';
import * as raw from '../ops/raw';
import { QuantoError } from '../tensor/error';
import { noGrad } from '../tensor/grad-mode';
import { observeOps, type OpObserver } from '../tensor/op-observer';
import { keep, tensorsIn, tidy } from '../tensor/scope';
import { buffer, Tensor } from '../tensor/tensor';

import { nameFilter } from './patterns';
import { isQModule } from './qmodule';
import { channelMaxima, smoothingFactors } from './smoothing-factors';

export interface SmoothOptions {
  /** How far ranges move from activations into weights: 0 not at all, 1 wholly. Default 0.5. */
  alpha?: number;
  /** Names of the linear layers to smooth, with `*`, `?` and `[...]`; all by default. */
  include?: string | readonly string[];
  /** Names of the linear layers to leave. */
  exclude?: string | readonly string[];
}

/** What smoothing did: which layers share factors, and which layer before them took the factors over; null: each divides its input. */
export interface Smoothed {
  readonly layers: readonly string[];
  readonly into: string | null;
}

/** A layer whose output channels can be scaled: a norm, or a linear layer. */
interface Source {
  readonly name: string;
  readonly module: Norm | Linear;
  readonly consumers: Set<Target>;
  /** Whether anything but the smoothed layers reads the output. */
  elsewhere: boolean;
}

/** A linear layer, and what came in. */
interface Target {
  readonly name: string;
  readonly module: Linear;
  maxima: Tensor | null;
  readonly sources: Set<Source | null>;
}

type Norm = LayerNorm | RMSNorm;

/** Tensors that several modules have: to scale one module's is to scale the others'. */
function tiedTensors(model: AnyModule): Set<Tensor> {
  const [seen, tied] = [new Set<Tensor>(), new Set<Tensor>()];
  for (const module of model.modules()) {
    for (const value of Object.values(module)) {
      if (!(value instanceof Tensor)) continue;
      if (seen.has(value)) tied.add(value);
      seen.add(value);
    }
  }
  return tied;
}

/** Follows the outputs of norms and linear layers to the linear layers that read them. */
class Trace {
  private readonly sources = new Map<Tensor, Source>();
  readonly targets = new Map<Tensor, Target>();
  private readonly origins = new WeakMap<Tensor, Source>();

  constructor(model: AnyModule, chosen: (name: string) => boolean) {
    const tied = tiedTensors(model);
    for (const [name, module] of model.namedModules()) {
      const scales = module instanceof Linear || module instanceof LayerNorm || module instanceof RMSNorm;
      // A norm of several dims has no channels.
      if (isQModule(module) || !scales || !module.weight || (module.weight.ndim !== 1 && !(module instanceof Linear))) continue;
      if (tied.has(module.weight)) continue;
      const elsewhere = 'bias' in module && module.bias !== null && tied.has(module.bias);
      this.sources.set(module.weight, { name, module, consumers: new Set(), elsewhere });
      if (!(module instanceof Linear) || module.smoothing || !chosen(name)) continue;
      this.targets.set(module.weight, { name, module, maxima: null, sources: new Set() });
    }
  }

  readonly see: OpObserver = (op, inputs, output) => {
    const [src, weight] = inputs as readonly (Tensor | undefined)[];
    const target = op.name === 'linear' && weight ? this.targets.get(weight) : undefined;
    for (const input of inputs) {
      const origin = this.origins.get(input);
      if (!origin || (target && input === src)) continue;
      // relu commutes with positive factors.
      if (op.name === 'relu' && output) this.origins.set(output, origin);
      else origin.elsewhere = true;
    }
    if (target && src) {
      const origin = this.origins.get(src) ?? null;
      target.sources.add(origin);
      origin?.consumers.add(target);
      const latest = noGrad(() => channelMaxima(src.dequantize()));
      target.maxima = keep(target.maxima ? raw.binary('maximum', target.maxima, latest) : latest);
    }
    const made = weight && ['linear', 'layerNorm', 'rmsNorm'].includes(op.name) ? this.sources.get(weight) : undefined;
    if (made && output) this.origins.set(output, made);
  };

  /** What leaves the model is read elsewhere. */
  leave(value: unknown): void {
    for (const tensor of tensorsIn(value)) {
      const origin = this.origins.get(tensor);
      if (origin) origin.elsewhere = true;
    }
  }

  /** Layers that share factors, each group with the layer that takes them over. */
  groups(): { targets: Target[]; source: Source | null }[] {
    const seen = [...this.targets.values()].filter(({ maxima }) => maxima);
    const groups: { targets: Target[]; source: Source | null }[] = [];
    for (const source of this.sources.values()) {
      const targets = seen.filter((target) => source.consumers.has(target));
      const own = !source.elsewhere && targets.every(({ sources }) => sources.size === 1);
      if (targets.length > 0 && own) groups.push({ targets, source });
    }
    const folded = new Set(groups.flatMap(({ targets }) => targets));
    for (const target of seen) if (!folded.has(target)) groups.push({ targets: [target], source: null });
    return groups;
  }
}

const write = (parameter: Tensor, value: Tensor): void => native.copyInPlace(parameter.native, value.native);

/** Divides the output channels of a layer. */
function divideOutput(module: Norm | Linear, factors: Tensor): void {
  const isLinear = module instanceof Linear;
  write(module.weight as Tensor, raw.div(module.weight as Tensor, isLinear ? raw.reshape(factors, [-1, 1]) : factors));
  if ('bias' in module && module.bias) write(module.bias, raw.div(module.bias, factors));
}

/** Moves ranges from the inputs of some layers into their weights. */
function move(targets: readonly Target[], source: Source | null, alpha: number): void {
  const [largest, ofWeights] = [
    targets.map(({ maxima }) => maxima as Tensor),
    targets.map(({ module }) => channelMaxima(module.weight)),
  ].map((all) => all.reduce((a, b) => raw.binary('maximum', a, b)));
  const factors = smoothingFactors(largest, ofWeights, alpha);
  for (const { module } of targets) write(module.weight, raw.mul(module.weight, factors));
  if (source) divideOutput(source.module, factors);
  else for (const { module } of targets) module.smoothing = buffer(factors.copy());
}

/**
 * Makes a float model easier to quantize: where channels of an activation are much larger than others, the linear layers that read it take
 * over factors, max|x|^alpha / max|w|^(1 - alpha) for each channel, into their weights, and the layer before divides its output by them
 * (SmoothQuant, Xiao et al. 2023). That layer is a norm or a linear layer whose output nothing else reads and the model does not return;
 * where there is none, the layer divides its own input (`Linear.smoothing`). Layers with a weight that another module has too are left as
 * they are. The model computes the same function, up to rounding, of tensors: values that JavaScript reads inside it are not followed.
 * Quantize afterwards.
 * @param samples a function, sync or async, that runs the model on samples; or the samples, each an input of the model
 * @returns what was done
 */
export async function smooth(
  model: AnyModule,
  samples: (() => unknown) | Iterable<Tensor>,
  options: SmoothOptions = {},
): Promise<Smoothed[]> {
  const { alpha = 0.5, include, exclude } = options;
  if (!(alpha >= 0 && alpha <= 1)) {
    throw new QuantoError('INVALID_ARGUMENT', `[smooth] expected an alpha from 0 to 1 but got ${alpha}`);
  }
  const trace = new Trace(model, nameFilter(include, exclude));
  const stop = observeOps(trace.see);
  const left = (_module: Module, _inputs: unknown, output: unknown): undefined => {
    trace.leave(output);
  };
  const unhook = (model as Module).registerForwardHook(left, { keep: false });
  try {
    if (typeof samples === 'function') trace.leave(await samples());
    else for (const sample of samples) noGrad(() => tidy(() => void (model as Module).forward(sample)));
  } finally {
    stop();
    unhook();
  }
  const groups = trace.groups();
  if (groups.length === 0) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      '[smooth] expected samples to pass through a linear layer but none did; run the float model on some',
    );
  }
  noGrad(() => tidy(() => groups.forEach(({ targets, source }) => move(targets, source, alpha))));
  return groups.map(({ targets, source }) => ({ layers: targets.map(({ name }) => name), into: source?.name ?? null }));
}
