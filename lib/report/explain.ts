import { native } from '../native';
import type { AnyModule } from '../nn';
import { fallbacks, QTensor } from '../qtensor';
import { isQModule, type QuantizedModule } from '../quantize';
import { deviceInfo } from '../tensor/device';
import type { Tensor } from '../tensor/tensor';

import { kernelNames, serving } from './serving';
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
    /** Every quantized module, in the model's order. */
    readonly modules: readonly ModuleExplanation[],
    /** How often each op ran in float on quantized operands in this process, since the last reset; see `fallbacks`. */
    readonly fallbacks: Readonly<Record<string, number>>,
    /** `deviceInfo().cpu`. */
    readonly cpu: string,
  ) {}

  toString(): string {
    const titles = ['Module', 'Type', 'Weights', 'Activations', 'Frozen', 'Packed', 'Input', 'Output', 'Native op', 'Kernel'];
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

function notesOn(module: QuantizedModule, refusals: readonly string[]): string[] {
  const { quantization, calibrated, sides, frozen, outputQuantized, quantizesInput } = module;
  const notes: string[] = [];
  if (quantization.weights && !frozen) notes.push('the weight is quantized again in every forward until freeze()');
  if (quantization.activations) {
    if (quantizesInput && !sides.input) notes.push('the input stays in float: it was never calibrated');
    if (calibrated.output && !outputQuantized) notes.push('the output stays in float: no module that takes integers consumes it');
    if (!calibrated.output && !(quantizesInput && calibrated.input)) notes.push('the output stays in float: it was never calibrated');
  }
  return [...notes, ...refusals.map((refusal) => `not served by ${refusal}`)];
}

function explainModule(name: string, module: AnyModule & QuantizedModule, kernels: Readonly<Record<string, string>>): ModuleExplanation {
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
    packed: weight instanceof QTensor && weight.parts().some((part) => native.isPacked(part.native)),
    calibrated: { ...calibrated },
    input: sides.input?.name ?? 'float',
    output: sides.output?.name ?? 'float',
    op: service?.native ?? null,
    kernel: device !== 'cpu' ? device : kernel && (kernels[kernel] ?? kernel),
    notes: notesOn(module, service?.refusals ?? []),
  };
}

/**
 * Tells how each quantized module is computed as it stands: its qtypes, whether it is frozen, packed and calibrated, whether integers go in
 * and out, which native op and which kernel serve it, and what is computed in float and why. Nothing runs for it.
 */
export function explain(model: AnyModule): Explanation {
  const { cpu } = deviceInfo();
  const kernels = kernelNames(cpu);
  const modules = model.namedModules().flatMap(([name, module]) => (isQModule(module) ? [explainModule(name, module, kernels)] : []));
  return new Explanation(modules, fallbacks(), cpu);
}
