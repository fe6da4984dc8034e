import { native, type NativeTensor } from '../native';

import { dtypeCode, isReal } from './dtype';
import type { Tensor } from './tensor';

const EDGE = 3; // elements shown at each end of a long dimension
const SUMMARIZE_ABOVE = 1000; // elements

/** The corners of a tensor: at most 2 x EDGE along each dimension. */
function corners(tensor: NativeTensor, shape: readonly number[]): NativeTensor {
  return shape.reduce<NativeTensor>((part, size, axis) => {
    if (size <= 2 * EDGE) return part;
    return native.cat([native.slice(part, axis, 0, EDGE, 1), native.slice(part, axis, size - EDGE, size, 1)], axis);
  }, tensor);
}

function formatNumbers(values: readonly (number | bigint)[], real: boolean): string[] {
  if (!real) return values.map(String);
  const finite = (values as number[]).filter((value) => Number.isFinite(value) && value !== 0).map(Math.abs);
  const largest = Math.max(...finite, 0);
  const smallest = Math.min(...finite, Infinity);
  // PyTorch's rule: scientific where four decimals would hide or flood the digits.
  const scientific = largest >= 1e8 || smallest < 1e-4 || largest / smallest > 1e3;
  return (values as number[]).map((value) => {
    if (!Number.isFinite(value)) return String(value).replace('Infinity', 'inf').replace('NaN', 'nan');
    return scientific ? value.toExponential(4) : value.toFixed(4);
  });
}

/** A text form with values, as PyTorch prints: long dimensions are cut to their ends. Blocks until the values are there. */
export function formatTensor(tensor: Tensor): string {
  if (tensor.isDisposed) return 'Tensor(disposed)';
  const plain = tensor.dequantize();
  const { shape } = plain;
  const summarized = plain.numel > SUMMARIZE_ABOVE;
  const shown = summarized ? corners(plain.native, shape) : plain.native;
  const real = isReal(plain.dtype);
  const buffer = native.readNow(native.toDType(shown, dtypeCode(real ? 'float32' : 'int64')));
  const texts = formatNumbers(real ? [...new Float32Array(buffer)] : [...new BigInt64Array(buffer)], real);
  const width = Math.max(0, ...texts.map((text) => text.length));
  const shownShape = native.shapeOf(shown);
  let next = 0;
  const nest = (axis: number): string => {
    if (axis === shownShape.length) return (texts[next++] ?? '').padStart(width);
    const items = Array.from({ length: shownShape[axis] }, () => nest(axis + 1));
    if (summarized && shape[axis] > 2 * EDGE) items.splice(EDGE, 0, '...');
    const separator = axis === shownShape.length - 1 ? ', ' : `,\n${' '.repeat('tensor('.length + axis + 1)}`;
    return `[${items.join(separator)}]`;
  };
  const gradient = tensor.requiresGrad ? ', requiresGrad' : '';
  return `tensor(${nest(0)}, shape=[${shape.join(', ')}], dtype=${tensor.dtype}${gradient})`;
}
