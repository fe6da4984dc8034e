// Which native op computes a quantized module, and on which kernels. One ordered list, the best first, as in lib/qtensor/rules.ts; a row
// serves the modules of its operation unless it refuses with a reason.
import type { native } from '../native';
import type { QType } from '../qtensor';
import type { QuantizedModule } from '../quantize';

/** A row of the list: a function of the native side and the family of kernels below it. */
interface Row {
  /** As `QuantizedModule.operation` names it. */
  readonly operation: string;
  readonly native: keyof typeof native;
  /** As `deviceInfo().cpu` names it; null where there is one kernel for all instruction sets. */
  readonly kernel: 'int8' | 'w8' | 'bits' | 'conv' | 'float32' | null;
  /** Why it cannot serve a module as it stands; null: it can. */
  readonly refusal: (module: QuantizedModule) => string | null;
}

const isInt8 = (qtype: QType | null): boolean => qtype?.dtype === 'int8' && qtype.bits === 8;

function needsInt8Weight({ quantization: { weights } }: QuantizedModule): string | null {
  return isInt8(weights) ? null : `the weight is ${weights?.name ?? 'float'}, not qint8`;
}

/** For the kernels of few bits; of at most `most` where their products are integers. */
function needsFewBits({ quantization: { weights } }: QuantizedModule, most = 8): string | null {
  if (weights && !isInt8(weights) && weights.bits <= most) return null;
  return `the weight is ${weights?.name ?? 'float'}, not ${most < 8 ? 'qint4 or qint2' : 'qint4, qint2 or a qfloat8 type'}`;
}

function needsInt8Input(module: QuantizedModule): string | null {
  const { input } = module.sides;
  if (isInt8(input)) return null;
  return input ? `the input is ${input.name}, not qint8` : 'the input is float';
}

function needsInt8Output({ sides: { output } }: QuantizedModule): string | null {
  if (isInt8(output)) return null;
  return output ? `the output is ${output.name}, not qint8` : 'the output is float';
}

/** What was quantized to a type that no integer product takes is dequantized, with the weight. */
function needsFloatInput({ sides: { input } }: QuantizedModule): string | null {
  return input === null || isInt8(input) ? null : `the input is ${input.name}, not float`;
}

/** Of what the weight is dequantized to. */
function needsFloat32({ input_scale: { dtype } }: QuantizedModule): string | null {
  return dtype === 'float32' ? null : `the module is in ${dtype}, not float32`;
}

const rows: readonly Row[] = [
  { operation: 'linear', native: 'linearInt8', kernel: 'int8', refusal: (module) => needsInt8Weight(module) ?? needsInt8Input(module) },
  {
    operation: 'linear',
    native: 'linearWeightOnly',
    kernel: 'w8',
    refusal: (module) => needsInt8Weight(module) ?? needsFloatInput(module),
  },
  { operation: 'linear', native: 'linearBitsInt8', kernel: 'bits', refusal: (module) => needsFewBits(module, 4) ?? needsInt8Input(module) },
  { operation: 'linear', native: 'linearBits', kernel: 'bits', refusal: (module) => needsFewBits(module) ?? needsFloatInput(module) },
  { operation: 'linear', native: 'linear', kernel: 'float32', refusal: () => null },
  { operation: 'conv2d', native: 'conv2dInt8', kernel: 'conv', refusal: (module) => needsInt8Weight(module) ?? needsInt8Input(module) },
  {
    operation: 'conv2d',
    native: 'conv2dWeightOnly',
    kernel: 'float32',
    refusal: (module) => needsInt8Weight(module) ?? needsFloatInput(module) ?? needsFloat32(module),
  },
  { operation: 'conv2d', native: 'conv2d', kernel: 'float32', refusal: () => null },
  { operation: 'layerNorm', native: 'layerNormInt8', kernel: null, refusal: needsInt8Output },
  { operation: 'layerNorm', native: 'layerNorm', kernel: null, refusal: () => null },
];

/** What computes a module, and which better rows refused, with their reasons. */
export interface Service {
  readonly native: string;
  readonly kernel: Row['kernel'];
  readonly refusals: readonly string[];
}

/** The row that serves a module; null where its class does not name its operation. */
export function serving(module: QuantizedModule): Service | null {
  const refusals: string[] = [];
  for (const row of rows) {
    if (row.operation !== module.operation) continue;
    const refusal = row.refusal(module);
    if (refusal === null) return { native: row.native, kernel: row.kernel, refusals };
    refusals.push(`${row.native}: ${refusal}`);
  }
  return null;
}

/**
 * The names of the kernels in use on the CPU by family, out of `deviceInfo().cpu`: float32 -> avx512, for example, and w8 -> vnni/avx512
 * where layers of some sizes take the one and others the other.
 */
export function kernelNames(cpu: string): Readonly<Record<string, string>> {
  return Object.fromEntries([...cpu.matchAll(/(\w+): ([\w./-]+)/g)].map(([, family, name]) => [family, name]));
}
