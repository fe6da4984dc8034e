// The case table: a row names inputs and a reference, and the checks are derived from it.
import { inspect } from 'node:util';

import { getNumThreads, setNumThreads, type Device } from '../../lib/tensor/device';
import { type DType, isReal } from '../../lib/tensor/dtype';
import { QuantoError } from '../../lib/tensor/error';
import { tidy } from '../../lib/tensor/scope';
import { Tensor } from '../../lib/tensor/tensor';
import { tensor } from '../../lib/ops';

import { countOf, NdArray, type Shape } from './ndarray';
import { type Domain, normal, seededRandom } from './random';
import { epsilonOf, largestOf, roundTo, tinyOf } from './rounding';

export interface Input {
  readonly shape: Shape;
  /** Default: float32. Inputs of floating-point dtypes also run as float16 and bfloat16. */
  readonly dtype?: DType;
  /** Default: normal. */
  readonly domain?: Domain;
  /** Whether the op takes null or undefined for it. */
  readonly optional?: boolean;
}

/** One call of an op. */
export interface Case {
  readonly family: string;
  /** Unique within the family; no characters that mean something in a regular expression. */
  readonly name: string;
  readonly inputs: readonly Input[];
  readonly run: (...inputs: Tensor[]) => Tensor;
  /** Instead of `run` where an op makes a tensor of nothing but numbers. */
  readonly make?: (device: Device) => Tensor;
  /** The result in float64, or exact integers. */
  readonly reference: (...inputs: NdArray[]) => NdArray;
  /** The result's dtype. Default: that of the first floating-point input, or of the first. */
  readonly output?: DType;
  /** Whether gradients of all floating-point inputs are compared with differences of the reference. Default: true where the output is real. */
  readonly gradient?: boolean;
  /** Roundings to float32 behind a result, each relative to its magnitude. Default: 4. 0: exact. */
  readonly roundings?: number;
  /** What an error is relative to, where it is not the result: the sum of the absolute terms, say. */
  readonly magnitude?: (...inputs: NdArray[]) => NdArray;
  /** Roundings to float16 or bfloat16, when the inputs are of these dtypes. Default: 1, or 0 where exact. false: not for these dtypes. */
  readonly halfRoundings?: number | false;
  /** Shapes of the inputs with sizes of 0 that run as well. */
  readonly empty?: readonly Shape[];
  /** false where the op refuses other than row-major inputs. */
  readonly strided?: boolean;
}

/** A call that must fail. */
export interface Failure {
  readonly family: string;
  readonly name: string;
  /** Returns a tensor where the error comes when it is read. */
  readonly run: () => unknown;
  readonly code: QuantoError['code'];
  /** What the message says beside the op's name. */
  readonly message?: RegExp;
}

export interface Check {
  readonly mode: string;
  readonly run: (device: Device) => void;
}

class Mismatch extends Error {}

const drawn = new WeakMap<Case, NdArray[]>();

/** The inputs of a row, the same at every call. */
function draw(row: Case): NdArray[] {
  let values = drawn.get(row);
  if (!values) drawn.set(row, (values = drawShapes(row)));
  return values;
}

function drawShapes(row: Case, shapes?: readonly Shape[]): NdArray[] {
  const random = seededRandom(`${row.family} ${row.name}`);
  return row.inputs.map(({ shape, domain = normal, dtype = 'float32' }, i) =>
    NdArray.from(shapes?.[i] ?? shape, () => roundTo(dtype, domain(random))),
  );
}

/** The dtype of a row's result, with the dtype that its floating-point inputs are narrowed to. */
function outputOf(row: Case, narrowed: DType | null): DType {
  const dtypes = dtypesOf(row);
  const real = dtypes.find(isReal);
  return row.output ?? (real && narrowed ? narrowed : (real ?? dtypes[0]));
}

const dtypesOf = (row: Case): DType[] => row.inputs.map(({ dtype = 'float32' }) => dtype);

/** Values of a tensor as float64. */
export function valuesOf(src: Tensor): NdArray {
  if (isReal(src.dtype)) return new NdArray(src.shape, new Float64Array(src.detach().to('float32').dataSync() as Float32Array));
  return new NdArray(src.shape, Float64Array.from(src.to('int64').dataSync() as BigInt64Array, Number));
}

export function tensorOf({ shape, data }: NdArray, dtype: DType, device: Device, requiresGrad = false): Tensor {
  return tensor(isReal(dtype) ? new Float32Array(data) : data, { dtype, device, shape, requiresGrad });
}

/** Options for a constant beside an operand, which may be whatever the check of arguments passes. */
export const beside = (operand: Tensor): { device: Device } => ({ device: operand instanceof Tensor ? operand.device : 'cpu' });

const sameShape = (a: Shape, b: Shape) => a.length === b.length && a.every((size, i) => size === b[i]);

const resultOf = (row: Case, inputs: readonly Tensor[], device: Device) => row.make?.(device) ?? row.run(...inputs);

/** Throws unless every element is as near to the reference as the roundings allow. */
function compare(result: Tensor, wanted: NdArray, dtype: DType, bound: (i: number) => number): void {
  if (result.dtype !== dtype) throw new Mismatch(`expected a result of dtype ${dtype} but got ${result.dtype}`);
  if (!sameShape(result.shape, wanted.shape)) {
    throw new Mismatch(`expected a result of shape [${wanted.shape.join(', ')}] but got [${result.shape.join(', ')}]`);
  }
  const got = valuesOf(result).data;
  wanted.data.forEach((value, i) => {
    if (Object.is(got[i], value) || got[i] === value || Math.abs(got[i] - value) <= bound(i)) return;
    throw new Mismatch(
      `element ${i} of shape [${wanted.shape.join(', ')}]: expected ${value} within ${bound(i).toExponential(2)} but got ${got[i]}`,
    );
  });
}

function checkValue(row: Case, values: readonly NdArray[], inputs: readonly Tensor[], dtype: DType | null, device: Device): void {
  const { roundings = 4, halfRoundings = roundings === 0 ? 0 : 1 } = row;
  const wanted = row.reference(...values);
  const magnitude = row.magnitude?.(...values) ?? wanted;
  const output = outputOf(row, dtype);
  const narrow = dtype !== null && halfRoundings !== false ? halfRoundings : 0;
  const bound = (i: number) => {
    if (!isReal(output)) return 0;
    const size = Math.abs(magnitude.data[i]);
    const wide = roundings * (epsilonOf('float32') * size + tinyOf('float32'));
    if (dtype === null || narrow === 0) return wide;
    // The last rounding to a narrow dtype is relative to the result; those of steps before are relative to the magnitude.
    const last = epsilonOf(output) * (Math.abs(wanted.data[i]) + wide) + tinyOf(output);
    return wide + last + (narrow - 1) * (epsilonOf(dtype) * size + tinyOf(dtype));
  };
  const inRange = isReal(output) ? wanted.map((value) => (Math.abs(value) > largestOf(output) ? roundTo(output, value) : value)) : wanted;
  compare(resultOf(row, inputs, device), inRange, output, bound);
}

/** Other layouts of the same values, and of values that repeat where the layout makes them. */
const layouts: Readonly<Record<string, (values: NdArray, dtype: DType, device: Device) => { values: NdArray; tensor: Tensor }>> = {
  transposed: (values, dtype, device) => {
    const reversed = [...values.shape.keys()].reverse();
    return { values, tensor: tensorOf(values.permute(...reversed), dtype, device).permute(reversed) };
  },
  sliced: (values, dtype, device) => {
    const last = values.ndim - 1;
    if (last < 0) return { values, tensor: tensorOf(values.reshape(1), dtype, device).select(0, 0) };
    const spread = values.shape.map((size, axis) => (axis === last ? 2 * size + 1 : size));
    const host = NdArray.from(spread, (index) => (index[last] % 2 === 0 ? 0 : values.at([...index.slice(0, -1), (index[last] - 1) / 2])));
    return { values, tensor: tensorOf(host, dtype, device).slice(last, 1, 2 * values.shape[last] + 1, 2) };
  },
  expanded: (values, dtype, device) => {
    if (values.ndim === 0 || values.shape[0] === 0) return { values, tensor: tensorOf(values, dtype, device) };
    const first = NdArray.from([1, ...values.shape.slice(1)], (index) => values.at(index));
    const repeated = NdArray.from(values.shape, (index) => values.at([0, ...index.slice(1)]));
    return { values: repeated, tensor: tensorOf(first, dtype, device).expand(values.shape) };
  },
};

function layoutCheck(row: Case, layout: string): Check {
  return {
    mode: layout,
    run: (device) => {
      const laid = draw(row).map((values, i) => layouts[layout](values, dtypesOf(row)[i], device));
      checkValue(
        row,
        laid.map(({ values }) => values),
        laid.map(({ tensor: input }) => input),
        null,
        device,
      );
    },
  };
}

function narrowCheck(row: Case, dtype: 'float16' | 'bfloat16'): Check {
  return {
    mode: dtype,
    run: (device) => {
      const narrowed = dtypesOf(row).map((given) => (isReal(given) ? dtype : given));
      const values = draw(row).map((array, i) => array.map((value) => roundTo(narrowed[i], value)));
      checkValue(
        row,
        values,
        values.map((array, i) => tensorOf(array, narrowed[i], device)),
        dtype,
        device,
      );
    },
  };
}

const LARGEST_SAMPLE = 32;

/** Every position, or a sample of them spread over the array. */
function sample(count: number): number[] {
  if (count <= LARGEST_SAMPLE) return [...Array(count).keys()];
  return Array.from(
    { length: LARGEST_SAMPLE },
    (_, i) => Math.floor((i * count) / LARGEST_SAMPLE) + (i % Math.floor(count / LARGEST_SAMPLE)),
  );
}

/** Central differences of sum(reference * weights): exact to about 1e-9 in float64. */
function difference(row: Case, values: readonly NdArray[], weights: NdArray, input: number, position: number): number {
  const along = (step: number) => {
    const moved = values.map((array) => new NdArray(array.shape, array.data.slice()));
    moved[input].data[position] += step;
    return row.reference(...moved).data.reduce((sum, value, i) => sum + value * weights.data[i], 0);
  };
  const step = 1e-4 * Math.max(1, Math.abs(values[input].data[position]));
  return (along(step) - along(-step)) / (2 * step);
}

/** The layout of the gradient that arrives: row-major, or strided as a transposed consumer sends it. */
function gradientCheck(row: Case, layout: 'gradient' | 'gradient strided'): Check {
  return {
    mode: layout,
    run: (device) => {
      const values = draw(row);
      const dtypes = dtypesOf(row);
      const inputs = values.map((array, i) => tensorOf(array, dtypes[i], device, isReal(dtypes[i])));
      const output = row.run(...inputs);
      const random = seededRandom(`${row.family} ${row.name} gradient`);
      const weights = NdArray.from(output.shape, () => roundTo('float32', normal(random)));
      const given =
        layout === 'gradient' ? tensorOf(weights, output.dtype, device) : layouts.transposed(weights, output.dtype, device).tensor;
      output.backward(given);
      inputs.forEach((input, i) => {
        if (!isReal(dtypes[i])) return;
        if (!input.grad) throw new Mismatch(`input ${i} has no gradient`);
        const got = valuesOf(input.grad);
        if (!sameShape(got.shape, input.shape)) throw new Mismatch(`the gradient of input ${i} has shape [${got.shape.join(', ')}]`);
        const positions = sample(countOf(input.shape));
        const wanted = positions.map((position) => difference(row, values, weights, i, position));
        // Rounding errors spread over a gradient, so they are relative to its largest element.
        const largest = Math.max(0, ...wanted.map(Math.abs));
        const wide = (8 + 4 * (row.roundings ?? 4)) * epsilonOf('float32');
        const bound = (dtypes[i] === 'float32' ? wide : wide + epsilonOf(dtypes[i])) * largest + 1e-7;
        positions.forEach((position, j) => {
          if (Math.abs(got.data[position] - wanted[j]) <= bound) return;
          throw new Mismatch(
            `gradient of input ${i}, element ${position}: expected ${wanted[j]} within ${bound.toExponential(2)} but got ${got.data[position]}`,
          );
        });
      });
    },
  };
}

/** A gradient of nothing must have the shape of nothing. */
function emptyCheck(row: Case): Check {
  return {
    mode: 'empty',
    run: (device) => {
      const values = drawShapes(row, row.empty);
      const dtypes = dtypesOf(row);
      const inputs = values.map((array, i) => tensorOf(array, dtypes[i], device, hasGradient(row) && isReal(dtypes[i])));
      checkValue(row, values, inputs, null, device);
      if (!hasGradient(row)) return;
      const output = row.run(...inputs);
      output.backward(
        tensorOf(
          NdArray.from(output.shape, () => 1),
          output.dtype,
          device,
        ),
      );
      inputs.forEach((input, i) => {
        if (isReal(dtypes[i]) && !sameShape(input.grad?.shape ?? [-1], input.shape))
          throw new Mismatch(`the gradient of input ${i} has another shape`);
      });
    },
  };
}

function threadsCheck(row: Case): Check {
  return {
    mode: 'threads',
    run: (device) => {
      const before = getNumThreads();
      const results = [1, 2].map((count) => {
        setNumThreads(count);
        try {
          const inputs = draw(row).map((array, i) => tensorOf(array, dtypesOf(row)[i], device));
          return resultOf(row, inputs, device).bytesSync();
        } finally {
          setNumThreads(before);
        }
      });
      if (!results[0].every((byte, i) => byte === results[1][i])) throw new Mismatch('1 and 2 threads give different bits');
    },
  };
}

/** The error that a call ends in, when it is made or when its result is read. */
export function failureOf(run: () => unknown): unknown {
  try {
    const result = run();
    if (typeof result === 'object' && result !== null && 'dataSync' in result) (result as Tensor).dataSync();
  } catch (error) {
    return error;
  }
  return undefined;
}

function expectCode(error: unknown, code: QuantoError['code']): void {
  if (error instanceof QuantoError && error.code === code) return;
  throw new Mismatch(`expected an error with code ${code} but got ${inspect(error)}`);
}

/** What no op may take: things that are no tensors, and disposed tensors. */
function argumentsCheck(row: Case): Check {
  return {
    mode: 'arguments',
    run: (device) => {
      row.inputs.forEach(({ optional = false }, i) => {
        const inputs = draw(row).map((array, j) => tensorOf(array, dtypesOf(row)[j], device));
        for (const wrong of [...(optional ? [] : [undefined, null]), 'text', {}]) {
          const replaced = inputs.map((input, j) => (j === i ? (wrong as Tensor) : input));
          expectCode(
            failureOf(() => row.run(...replaced)),
            'INVALID_ARGUMENT',
          );
        }
        inputs[i].dispose();
        expectCode(
          failureOf(() => row.run(...inputs)),
          'DISPOSED',
        );
      });
    },
  };
}

export function hasGradient(row: Case): boolean {
  return row.gradient ?? isReal(outputOf(row, null));
}

/** Everything that is checked of a row. */
export function checksOf(row: Case): Check[] {
  const real = dtypesOf(row).some(isReal);
  return [
    {
      mode: 'value',
      run: (device: Device) => {
        const values = draw(row);
        checkValue(
          row,
          values,
          values.map((array, i) => tensorOf(array, dtypesOf(row)[i], device)),
          null,
          device,
        );
      },
    },
    ...(row.strided === false ? [] : Object.keys(layouts).map((layout) => layoutCheck(row, layout))),
    ...(real && row.halfRoundings !== false ? [narrowCheck(row, 'float16'), narrowCheck(row, 'bfloat16')] : []),
    ...(hasGradient(row) ? [gradientCheck(row, 'gradient'), gradientCheck(row, 'gradient strided')] : []),
    ...(row.empty ? [emptyCheck(row)] : []),
    threadsCheck(row),
    argumentsCheck(row),
  ].map(({ mode, run }) => ({ mode, run: (device: Device) => tidy(() => run(device)) }));
}

/**
 * Where the cases run: the device that QUANTO_TEST_DEVICE names, or every CPU. Plugins stay loaded in a process that jest uses for several
 * test files, and so what is loaded says nothing.
 */
export function devices(): readonly Device[] {
  const { QUANTO_TEST_DEVICE: chosen } = process.env;
  return chosen === undefined || chosen === '' ? ['cpu'] : [chosen];
}
