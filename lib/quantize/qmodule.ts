import type { AnyModule, LoadReport, Module, StateDict } from '../nn';
import { div, mul } from '../ops/binary';
import { full } from '../ops/creation';
import * as raw from '../ops/raw';
import {
  loadQTensor,
  moduleGroupSize,
  packForGemm,
  type Producer,
  QTensor,
  type QType,
  quantizeActivation,
  quantizeTokens,
  quantizeWeight,
  type QuantizeWeightOptions,
  saveQTensor,
  type WeightOptimizer,
} from '../qtensor';
import { QuantoError } from '../tensor/error';
import { noGrad } from '../tensor/grad-mode';
import { keep, tidy } from '../tensor/scope';
import { asParameter, buffer, Parameter, type Tensor } from '../tensor/tensor';

import { readScale, savedScale, scaleFor } from './activation-scale';
import { type Calibration, calibrations } from './calibration-scope';
import { type Observer, observers } from './observers';
import { RestorePoint } from './restore-point';
import { channelMaxima, smoothingFactors } from './smoothing-factors';

/** What the weights and activations of a module become; null leaves them in float. */
export interface QuantizationConfig {
  readonly weights: QType | null;
  readonly activations: QType | null;
  /** What computes the scales of the weight; null for the default. */
  readonly optimizer: WeightOptimizer | null;
  /** For weights of less than 8 bits: the size of groups where it divides an output channel; else the rule of `moduleGroupSize` holds. */
  readonly groupSize?: number;
  /** What scales of activations follow; the moving average of the largest magnitudes by default. */
  readonly observer?: Observer;
  /** 'dynamic': each token of an input has a scale of its own, computed as it passes; outputs stay in float. */
  readonly activationScale?: 'static' | 'dynamic';
  /** How far ranges move from the channels of an input into the weight as a calibration sees them, from 0 to 1; see `smooth`. */
  readonly smoothing?: number;
  /** Whether convolutions quantize their inputs. */
  readonly integerConvs?: boolean;
}

/** The two sides of a module that activations cross. */
export type Side = 'input' | 'output';

/** A module that quantizes its weight, its input and its output. */
export interface QuantizedModule extends Module, Producer {
  readonly quantization: QuantizationConfig;
  /** Scales of activations, [] in the dtype of the weight; 1 until they are calibrated. */
  input_scale: Tensor;
  output_scale: Tensor;
  /** Which scales a calibration or a file has given. An activation without one stays in float. */
  readonly calibrated: Record<Side, boolean>;
  /** Whether the output leaves the module quantized, once it is calibrated. */
  outputQuantized: boolean;
  /** Whether integer weights have replaced the float ones. */
  readonly frozen: boolean;
  /** The weight as forward uses it: quantized on the fly until the module is frozen; the float one where weights stay float. */
  readonly qweight: Tensor;
  /** Whether the input is quantized, when activations are. */
  readonly quantizesInput: boolean;
  /** The op that `compute` calls with the weight, by its name in lib/ops; null where the class does not say. */
  readonly operation: string | null;
  /** What the input is quantized to before `compute` and the output after it, as things stand; null: it stays in float. */
  readonly sides: Readonly<Record<Side, QType | null>>;
  /** The input as `compute` takes it. */
  quantizeInput(input: Tensor): Tensor;
  /** Replaces the float weight by its integer form. Modules that shared a float weight share the integer one: `frozen` knows them. */
  freeze(frozen?: Map<Tensor, QuantizedModule>): void;
  /** @internal Ends a calibration for this module; see calibrate.ts. */
  settle(streamline: boolean): void;
}

// TypeScript requires exactly this constructor type of the base of a mixin.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type ModuleClass = abstract new (...args: any[]) => Module;

/** Prototypes of the classes that `QModule` has made. */
const quantizedPrototypes = new WeakSet();

/** Whether a module is quantized: an instance of a `QModule` class. */
export function isQModule(module: AnyModule): module is AnyModule & QuantizedModule {
  let prototype = Object.getPrototypeOf(module) as object | null;
  while (prototype && !quantizedPrototypes.has(prototype)) prototype = Object.getPrototypeOf(prototype) as object | null;
  return prototype !== null;
}

/**
 * A base class for quantized modules: `class QMine extends QModule(Mine) { compute(input) { ... this.qweight ... } }`, then
 * `registerQModule(Mine, QMine)`. Its forward quantizes the input, computes, and quantizes the output, recording ranges in a calibration.
 * Mine may have a parameter `weight`, whose first dim gets a scale for each index.
 */
export function QModule<B extends ModuleClass>(Base: B) {
  abstract class Quantized extends Base implements QuantizedModule {
    // Declared only: `from` copies the properties of a float module onto an instance that no constructor has run for.
    declare quantization: QuantizationConfig;
    declare weight?: Tensor | null;
    declare input_scale: Tensor;
    declare output_scale: Tensor;
    declare calibrated: Record<Side, boolean>;
    declare outputQuantized: boolean;
    declare outputRequired: boolean;
    declare smoothing?: Tensor | null;
    /** The largest magnitude of each channel of the input so far, where factors follow them. */
    declare channelMaxima?: Tensor | null;
    /** Whether the weight has yet to be multiplied by `smoothing`, as factors that a calibration moves are until the module is frozen. */
    declare factorsPending: boolean;

    constructor(...args: ConstructorParameters<ModuleClass>) {
      // eslint-disable-next-line @typescript-eslint/no-unsafe-argument -- a mixin passes on whatever its base takes
      super(...args);
      this.setUp({ weights: null, activations: null, optimizer: null });
    }

    /** The module's function of a quantized or float input; written with ops that dispatch on quantized tensors. */
    abstract compute(input: Tensor): Tensor;

    get quantizesInput(): boolean {
      return false;
    }

    get operation(): string | null {
      return null;
    }

    get sides(): Record<Side, QType | null> {
      const { quantizesInput, calibrated, outputQuantized, quantization } = this;
      if (quantization.activationScale === 'dynamic') {
        const takesTokens = quantizesInput && this.weight?.ndim === 2;
        return { input: takesTokens ? quantization.activations : null, output: null };
      }
      return {
        input: quantizesInput && calibrated.input ? quantization.activations : null,
        output: outputQuantized && calibrated.output ? quantization.activations : null,
      };
    }

    /** What of a config applies to this class; null when a module of it stays as it is. */
    static configure(config: QuantizationConfig): QuantizationConfig | null {
      return config;
    }

    /** The quantized form of a float module, which takes over its properties: parameters stay the same objects. */
    static from<Q extends Quantized>(
      this: { prototype: Q; configure(config: QuantizationConfig): QuantizationConfig | null },
      module: AnyModule,
      config: QuantizationConfig,
    ): Q | null {
      const own = this.configure(config);
      if (!own) return null;
      const quantized = Object.assign(Object.create(this.prototype) as Q, module);
      quantized.setUp(own);
      return quantized;
    }

    /** Prepares the state that a constructor would: modules are made from float ones, not anew. */
    setUp(config: QuantizationConfig): void {
      const { weight } = this;
      this.quantization = config;
      const options = weight ? { dtype: weight.dtype, device: weight.device } : {};
      this.input_scale = buffer(full([], 1, options));
      this.output_scale = buffer(full([], 1, options));
      this.calibrated = { input: false, output: false };
      this.outputQuantized = true;
      this.outputRequired = false;
      this.factorsPending = false;
    }

    get frozen(): boolean {
      return this.weight instanceof QTensor;
    }

    get qweight(): Tensor {
      const { weight, quantization, smoothing } = this;
      if (!weight) throw new QuantoError('INVALID_ARGUMENT', `[${this.constructor.name}] this module has no weight to quantize`);
      if (weight instanceof QTensor) return weight;
      const smoothed = smoothing && this.factorsPending ? mul(weight, smoothing) : weight;
      return quantization.weights ? quantizeWeight(smoothed, weightOptions(weight, quantization.weights, quantization)) : smoothed;
    }

    override forward(input: Tensor): Tensor {
      return this.quantizeOutput(this.compute(this.quantizeInput(this.smoothInput(input))));
    }

    /** The input with its channels divided by factors of their own, which a calibration may move. */
    smoothInput(input: Tensor): Tensor {
      const { weight, quantization } = this;
      const follows = quantization.smoothing !== undefined && this.quantizesInput && weight?.ndim === 2;
      // Factors that are in the weight already, as `smooth` leaves them, stay.
      const movable = !this.frozen && (!this.smoothing || this.factorsPending);
      if (follows && movable && calibrations.current) {
        this.join(calibrations.current);
        this.moveFactors(input, weight, quantization.smoothing);
      }
      return this.smoothing ? div(input, this.smoothing) : input;
    }

    moveFactors(input: Tensor, weight: Tensor, alpha: number): void {
      const [maxima, factors] = noGrad(() =>
        tidy(() => {
          const latest = channelMaxima(input.dequantize());
          const largest = this.channelMaxima ? raw.binary('maximum', this.channelMaxima, latest) : latest;
          return [largest, smoothingFactors(largest, channelMaxima(weight), alpha)];
        }),
      );
      this.channelMaxima?.dispose();
      this.channelMaxima = keep(maxima);
      if (this.smoothing) this.smoothing.replaceBy(factors);
      else this.smoothing = buffer(factors);
      this.factorsPending = true;
    }

    quantizeInput(input: Tensor): Tensor {
      const { activations } = this.quantization;
      if (!activations) return input;
      if (this.quantizesInput && input instanceof QTensor && input.qtype !== activations) {
        throw new QuantoError(
          'NOT_SUPPORTED',
          `[${this.constructor.name}] expected a ${activations.name} input but got ${input.qtype.name}; give all modules of a model one activation type`,
        );
      }
      // Recorded for every module, as in the files of the original, whether or not it quantizes its input.
      if (this.quantization.activationScale === 'dynamic') {
        const takesTokens = this.quantizesInput && this.weight?.ndim === 2;
        return takesTokens && !(input instanceof QTensor) ? quantizeTokens(input, { qtype: activations }) : input;
      }
      this.observe('input', input, activations);
      if (!this.quantizesInput || input instanceof QTensor || !this.calibrated.input) return input;
      return quantizeActivation(input, { qtype: activations, scale: scaleFor(input, this.input_scale) });
    }

    quantizeOutput(output: Tensor): Tensor {
      const { activations, activationScale } = this.quantization;
      if (!activations || activationScale === 'dynamic') return output;
      this.observe('output', output, activations);
      if (!this.calibrated.output || !this.outputQuantized || output instanceof QTensor) return output;
      const quantized = quantizeActivation(output, { qtype: activations, scale: scaleFor(output, this.output_scale) });
      if (calibrations.current) quantized.producer = this;
      return quantized;
    }

    /** Enters a calibration. Each one decides anew which outputs stay quantized. */
    join({ modules }: Calibration): void {
      if (modules.has(this)) return;
      modules.set(this, new RestorePoint(this));
      this.outputQuantized = true;
      this.outputRequired = false;
    }

    /** Lets the calibration under way, if any, see an activation. */
    observe(side: Side, activation: Tensor, qtype: QType): void {
      const calibration = calibrations.current;
      if (!calibration) return;
      this.join(calibration);
      const scale = side === 'input' ? this.input_scale : this.output_scale;
      noGrad(() =>
        tidy(() => {
          // The scale of a quantized activation is adopted: it is exact, and requantizing would only lose.
          const adopted = activation instanceof QTensor && activation.axis === null;
          const observer = this.quantization.observer ?? observers.movingAverage;
          const latest = adopted ? activation.scale : observer.measure(activation.dequantize(), qtype);
          const moves = !adopted && this.calibrated[side];
          scale.replaceBy(raw.cast(moves ? observer.fold(scale, latest, calibration.options.momentum) : latest, scale.dtype));
        }),
      );
      this.calibrated[side] = true;
    }

    settle(streamline: boolean): void {
      // Throws where a sample failed.
      if (this.factorsPending) this.smoothing?.bytesSync();
      for (const side of ['input', 'output'] as const) {
        const scale = side === 'input' ? this.input_scale : this.output_scale;
        if (!this.calibrated[side] || readScale(scale) > 0) continue;
        // Nothing but zeros came through: there is no range to quantize with.
        scale.replaceBy(full([], 1, { dtype: scale.dtype, device: scale.device }));
        this.calibrated[side] = false;
      }
      this.outputQuantized = !streamline || this.outputRequired;
    }

    freeze(frozen = new Map<Tensor, QuantizedModule>()): void {
      const { weight, quantization } = this;
      if (!quantization.weights || !weight || this.frozen) return;
      const twin = frozen.get(weight);
      // A weight times factors of its own is nobody else's.
      const shareable = !this.factorsPending;
      if (shareable && twin && sameWeights(twin.quantization, quantization)) {
        this.weight = twin.qweight;
      } else {
        if (shareable) frozen.set(weight, this);
        this.weight = frozenWeight(() => this.qweight as QTensor);
        this.factorsPending = false;
      }
    }

    override extraRepr(): string {
      const { weights, activations } = this.quantization;
      return [super.extraRepr(), weights && `weights=${weights.name}`, activations && `activations=${activations.name}`]
        .filter(Boolean)
        .join(', ');
    }

    override saveToStateDict(prefix: string, out: Record<string, Tensor>): void {
      super.saveToStateDict(prefix, out);
      if (this.factorsPending) {
        out[`${prefix}${PENDING}`] = out[`${prefix}smoothing`];
        delete out[`${prefix}smoothing`];
      }
      if (this.weight instanceof QTensor) {
        delete out[`${prefix}weight`];
        Object.assign(out, saveQTensor(this.weight, `${prefix}weight.`));
      }
      out[`${prefix}input_scale`] = savedScale(this.input_scale, this.calibrated.input);
      out[`${prefix}output_scale`] = savedScale(this.output_scale, this.calibrated.output && this.outputQuantized);
    }

    override loadFromStateDict(prefix: string, sd: StateDict, report: LoadReport): void {
      const { smoothing } = this;
      const pending = this.loadPending(prefix, sd, report);
      // Its name is not looked for in the file then.
      if (pending) this.smoothing = null;
      this.loadState(prefix, sd, report);
      if (pending) this.smoothing = smoothing;
    }

    /** Loads factors that the weight has yet to be multiplied by, if there are such. */
    loadPending(prefix: string, sd: StateDict, report: LoadReport): boolean {
      const { weight } = this;
      const key = `${prefix}${PENDING}`;
      if (weight?.ndim !== 2 || !report.has(key)) {
        if (report.has(`${prefix}smoothing`)) report.whenComplete(() => (this.factorsPending = false));
        return false;
      }
      const factors = buffer(full([weight.shape[1]], 1, { dtype: sd[key].dtype, device: weight.device }));
      report.load(key, factors);
      report.whenComplete(() => {
        this.smoothing = factors;
        this.factorsPending = true;
      });
      return true;
    }

    /** Loads weight and scales. */
    loadState(prefix: string, sd: StateDict, report: LoadReport): void {
      const { weight, quantization } = this;
      const floatKey = `${prefix}weight`;
      if (!quantization.weights || !weight) {
        super.loadFromStateDict(prefix, sd, report);
      } else if (report.has(floatKey)) {
        // A frozen module thaws: it takes a float weight of the shape and dtype of the integer one.
        const thawed = weight instanceof QTensor ? new Parameter(raw.full(weight.shape, 0, weight.scale)) : weight;
        withWeight(this, thawed, () => super.loadFromStateDict(prefix, sd, report));
        report.whenComplete(() => (this.weight = thawed));
      } else {
        withWeight(this, undefined, () => super.loadFromStateDict(prefix, sd, report));
        const found: Tensor[] = [];
        const find = (key: string) => {
          const part = report.find(key);
          if (part) found.push(part);
          return part;
        };
        const loaded = loadQTensor(`${floatKey}.`, { qtype: quantization.weights, shape: weight.shape, find });
        if (typeof loaded === 'string') report.mismatches.push(loaded);
        // As with other parameters, values are copied into the dtype and device of the module unless it takes over the tensors.
        else if (loaded) {
          report.whenComplete(() => {
            this.weight = report.assign ? frozenWeight(() => loaded) : ownWeight(loaded, weight, report.consume);
            for (const part of found) report.release(part);
          });
        }
      }
      for (const side of ['input', 'output'] as const) {
        const key = `${prefix}${side}_scale`;
        if (!report.has(key) || sd[key].numel !== 1) continue;
        const value = raw.cast(sd[key].dequantize(), 'float32').item();
        if (!(value >= 0 && value < Infinity)) report.mismatches.push(`${key} expects a finite scale of at least 0 but got ${value}`);
        report.whenComplete(() => {
          // 1 says "never calibrated". The original writes 0 where nothing but zeros came through, which gives no range either.
          this.calibrated[side] = value !== 1 && value !== 0;
          if (side === 'output') this.outputQuantized = this.calibrated.output;
          readScale(side === 'input' ? this.input_scale : this.output_scale);
        });
      }
    }
  }
  quantizedPrototypes.add(Quantized.prototype);
  return Quantized;
}

/** Under which name files have factors that the weight has yet to be multiplied by. */
const PENDING = 'pending_smoothing';

/** How the weight of a module is quantized. */
function weightOptions(weight: Tensor, qtype: QType, { optimizer, groupSize }: QuantizationConfig): QuantizeWeightOptions {
  const options = { qtype, axis: 0, optimizer: optimizer ?? undefined };
  if (qtype.bits === 8) return options;
  return { ...options, groupSize: moduleGroupSize(weight.numel / weight.shape[0], groupSize) ?? undefined };
}

/** Whether two configs quantize one weight alike. */
function sameWeights(a: QuantizationConfig, b: QuantizationConfig): boolean {
  return a.weights === b.weights && a.optimizer === b.optimizer && a.groupSize === b.groupSize;
}

/** Runs a function while a module has another weight. */
function withWeight(module: { weight?: Tensor | null }, other: Tensor | undefined, body: () => void): void {
  const { weight } = module;
  module.weight = other;
  body();
  module.weight = weight;
}

/** A weight as a frozen module has it: codes in the form that the device's kernels stream; the row-major ones are freed. */
function frozenWeight(quantize: () => QTensor): QTensor {
  return noGrad(() => tidy(() => asParameter(packForGemm(quantize()))));
}

/**
 * A loaded weight with the dtype and on the device of another tensor. Unless the loaded one is given up, it shares no memory with it: that
 * could keep a whole mapped file alive.
 */
function ownWeight(loaded: QTensor, like: Tensor, consume: boolean): QTensor {
  const local = () => packForGemm(loaded.converted(like.dtype).converted(like.device));
  const own = noGrad(() => tidy(() => asParameter(consume ? local().share() : local().withoutMemoryOf(loaded))));
  loaded.dispose();
  return own;
}
