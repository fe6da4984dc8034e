import { type AnyModule, type Fusion, LayerNorm, RMSNorm } from '../nn';
import type { FusedSteps, FusingLayer } from '../nn/fusion';
import { fallbacks, QTensor } from '../qtensor';
import { isQModule, type QuantizedModule } from '../quantize';
import { deviceInfo } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';

import { kernelNames, type Service, serving } from './serving';
import { printable, printTable } from './table';

/** How one quantized module is computed, as it stands. */
export interface ModuleExplanation {
  /** Dotted; '' is the model itself. */
  readonly name: string;
  readonly type: string;
  /** Names of the qtypes; 'none' is float. */
  readonly weights: string;
  readonly activations: string;
  /** Whether integer weights have replaced the float ones. */
  readonly frozen: boolean;
  /** Whether the codes of the weight lie in the form that the kernels stream. */
  readonly packed: boolean;
  /** Which sides have a scale from a calibration or a file. */
  readonly calibrated: Readonly<Record<'input' | 'output', boolean>>;
  /** What the input and the output are quantized to, by qtype name; 'float' where they are not. */
  readonly input: string;
  readonly output: string;
  /** The native function that computes it; null where the module's class does not say. */
  readonly op: string | null;
  /** The instruction set of its kernel, or the device where that is not the CPU; null where there is one for all. */
  readonly kernel: string | null;
  /** What its native call does after it, where no gradient is recorded: an activation, the quantization of what other layers read. */
  readonly fused: readonly string[];
  /** What is not as fast or as small as it could be, and why. */
  readonly notes: readonly string[];
}

/** The first names of a list, and how many more there are. */
function listed(names: readonly string[]): string {
  const most = 4;
  return names.length <= most ? names.join(', ') : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;
}

/** What `explain` found. */
export class Explanation {
  constructor(
    /** Every quantized module, and the norms that quantize what such modules read, in the model's order. */
    readonly modules: readonly ModuleExplanation[],
    /** How often each op ran in float on quantized operands in this process, since the last reset; see `fallbacks`. */
    readonly fallbacks: Readonly<Record<string, number>>,
    /** `deviceInfo().cpu`. */
    readonly cpu: string,
  ) {}

  toString(): string {
    const titles = ['Module', 'Type', 'Weights', 'Activations', 'Frozen', 'Packed', 'Input', 'Output', 'Native op', 'Fused', 'Kernel'];
    const yes = (flag: boolean) => (flag ? 'yes' : 'no');
    const table = printTable({
      columns: titles.map((title) => ({ title, align: 'left' })),
      rows: this.modules.map((row) => [
        row.name === '' ? '(model)' : row.name,
        row.type,
        row.weights,
        row.activations,
        yes(row.frozen),
        yes(row.packed),
        row.input,
        row.output,
        row.op ?? 'unknown',
        row.fused.join(', ') || '-',
        row.kernel ?? '-',
      ]),
    });
    const named = new Map<string, string[]>();
    for (const { name, notes } of this.modules) {
      for (const note of notes) named.set(note, [...(named.get(note) ?? []), name === '' ? '(model)' : printable(name)]);
    }
    const notes = [...named].map(([note, names]) => `${note} (${listed(names)})`);
    const counts = Object.entries(this.fallbacks).map(([op, count]) => `${op} ${count} times`);
    const fell =
      counts.length > 0 ? `ops that ran on dequantized values so far: ${counts.join(', ')}` : 'no op ran on dequantized values so far';
    return [table, ...notes, fell, this.cpu].join('\n');
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

function notesOn(module: QuantizedModule, service: Service | null, quantizesForReaders: boolean): string[] {
  const { quantization, calibrated, sides, frozen, outputQuantized, quantizesInput } = module;
  const notes: string[] = [];
  if (quantization.weights && !frozen) notes.push('the weight is quantized again in every forward until freeze()');
  if (quantization.activations) {
    if (quantizesInput && !sides.input) notes.push('the input stays in float: it was never calibrated');
    if (calibrated.output && !outputQuantized && !quantizesForReaders)
      notes.push('the output stays in float: no module that takes integers consumes it');
    if (!calibrated.output && !(quantizesInput && calibrated.input)) notes.push('the output stays in float: it was never calibrated');
  }
  // Floats are convolved by codes of int8 only.
  if (quantization.weights && service?.native === 'conv2d') notes.push('the weight is dequantized in every forward');
  return [...notes, ...(service?.refusals ?? []).map((refusal) => `not served by ${refusal}`)];
}

/** What the native call of a layer does after it. */
interface Plan {
  readonly steps: readonly string[];
  /** The type of the codes that it leaves for its readers; null: none. */
  readonly output: string | null;
}

/** What each layer of a model runs in its native call, as the modules that own them say. */
function plansOf(model: AnyModule): Map<AnyModule, Plan> {
  const names = new Map(model.namedModules().map(([name, module]) => [module, name]));
  const plans = new Map<AnyModule, Plan>();
  const planOf = ({ readers = [] }: Fusion, { activation, codes }: FusedSteps): Plan => {
    const reader = (readers as readonly AnyModule[]).find(isQModule);
    const output = codes && reader ? (reader.quantization.activations?.name ?? null) : null;
    const read = readers.map((layer) => names.get(layer) ?? '?');
    return { steps: [...(activation ? [activation] : []), ...(output ? [`quantize for ${listed(read)}`] : [])], output };
  };
  for (const module of model.modules()) {
    for (const fusion of module.fusions()) {
      const steps = (fusion.layer as Partial<FusingLayer>).stepsThen?.(fusion);
      if (steps) plans.set(fusion.layer, planOf(fusion, steps));
    }
  }
  return plans;
}

const unplanned: Plan = { steps: [], output: null };

/** A norm in float whose result leaves it as codes. */
function explainNorm(name: string, norm: LayerNorm | RMSNorm, { steps, output }: Plan): ModuleExplanation {
  const device = norm.weight?.device ?? 'cpu';
  return {
    name,
    type: norm.constructor.name,
    weights: 'none',
    activations: output ?? 'none',
    frozen: false,
    packed: false,
    calibrated: { input: false, output: false },
    input: 'float',
    output: output ?? 'float',
    op: norm instanceof RMSNorm ? 'rmsNormInt8' : 'layerNormInt8',
    kernel: device === 'cpu' ? null : device,
    fused: steps,
    notes: [],
  };
}

function explainModule(
  name: string,
  module: AnyModule & QuantizedModule,
  plan: Plan,
  kernels: Readonly<Record<string, string>>,
): ModuleExplanation {
  const { quantization, frozen, calibrated, sides } = module;
  const { weight } = module as { weight?: Tensor | null };
  const service = serving(module);
  const device = weight?.device ?? module.input_scale.device;
  const kernel = service?.kernel ?? null;
  return {
    name,
    type: module.constructor.name,
    weights: quantization.weights?.name ?? 'none',
    activations: quantization.activations?.name ?? 'none',
    frozen,
    packed: weight instanceof QTensor && weight.parts().some((part) => part.isPacked),
    calibrated: { ...calibrated },
    input: sides.input?.name ?? 'float',
    output: sides.output?.name ?? plan.output ?? 'float',
    op: service?.native ?? null,
    kernel: device !== 'cpu' ? device : kernel && (kernels[kernel] ?? kernel),
    fused: plan.steps,
    notes: notesOn(module, service, plan.output !== null),
  };
}

/**
 * Tells how each quantized module is computed as it stands: its qtypes, whether it is frozen, packed and calibrated, whether integers go in
 * and out, which native op and which kernel serve it, what that op does of what follows, and what is computed in float and why. Nothing
 * runs for it.
 */
export function explain(model: AnyModule): Explanation {
  const { cpu } = deviceInfo();
  const kernels = kernelNames(cpu);
  const plans = plansOf(model);
  const modules = model.namedModules().flatMap(([name, module]) => {
    const plan = plans.get(module) ?? unplanned;
    if (isQModule(module)) return [explainModule(name, module, plan, kernels)];
    return plan.output && (module instanceof LayerNorm || module instanceof RMSNorm) ? [explainNorm(name, module, plan)] : [];
  });
  return new Explanation(modules, fallbacks(), cpu);
}
