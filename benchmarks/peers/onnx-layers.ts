// Layers of the benchmarks' networks in onnxruntime's fastest forms.
import { uniform } from '../harness/numbers';
import type { OnnxGraph } from './onnx-graph';

/** How a linear layer or a convolution computes. */
export type Precision = 'float32' | 'dynamic int8' | 'int8 block 32' | 'int4 block 32' | 'int4 block 32 level 4' | 'static int8';

/** Signed codes [rows, columns] by absmax of each row, and the scales. */
function quantizeRows(weight: Float32Array, rows: number, largest = 127): { codes: Int8Array; scales: Float32Array } {
  const columns = weight.length / rows;
  const codes = new Int8Array(weight.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const values = weight.subarray(row * columns, (row + 1) * columns);
    scales[row] = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / largest;
    for (let i = 0; i < columns; i++) codes[row * columns + i] = Math.round(values[i] / scales[row]);
  }
  return { codes, scales };
}

/** [rows, columns] to [columns, rows]. */
function transposed<T extends Float32Array | Int8Array>(data: T, rows: number): T {
  const columns = data.length / rows;
  const out = data.slice() as T;
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c];
  return out;
}

/** x [..., k] -> [..., n], with weights made from a seed. */
export function linearLayer(graph: OnnxGraph, x: string, k: number, n: number, seed: number, precision: Precision): string {
  const weight = uniform(n * k, seed, Math.sqrt(3 / k));
  const bias = graph.constant([n], uniform(n, seed + 1));
  if (precision === 'float32') {
    return graph.op('Add', [graph.op('MatMul', [x, graph.constant([k, n], transposed(weight, n))]), bias]);
  }
  const blocks = blockFormats[precision as keyof typeof blockFormats];
  if (blocks) return blockLinear(graph, x, { k, n, ...blocks }, weight, bias);
  const { codes, scales } = quantizeRows(weight, n);
  // onnxruntime fuses these nodes into one DynamicQuantizeMatMul.
  const [xq, xScale, xZero] = graph.ops('DynamicQuantizeLinear', [x], 3);
  const zero = graph.constant([n], new Int8Array(n));
  const sums = graph.op('MatMulInteger', [xq, graph.constant([k, n], transposed(codes, n)), xZero, zero]);
  const scale = graph.op('Mul', [xScale, graph.constant([n], scales)]);
  return graph.op('Add', [graph.op('Mul', [graph.op('Cast', [sums], { to: 1 }), scale]), bias]);
}

/** Weight-only formats of MatMulNBits; at accuracy level 4 the activations are quantized to int8 too, at 0 they stay float32. */
const blockFormats = {
  'int8 block 32': { bits: 8, level: 4 },
  'int4 block 32': { bits: 4, level: 0 },
  'int4 block 32 level 4': { bits: 4, level: 4 },
} as const;

/** Weights in blocks of 32 along k, unsigned with the zero point in the middle. */
function blockLinear(
  graph: OnnxGraph,
  x: string,
  { k, n, bits, level }: { k: number; n: number; bits: 4 | 8; level: number },
  weight: Float32Array,
  bias: string,
): string {
  const blocks = k / 32;
  const middle = 2 ** (bits - 1);
  const { codes, scales } = quantizeRows(weight, n * blocks, middle - 1);
  const unsigned = Uint8Array.from(codes, (code) => code + middle);
  // Two codes of 4 bits share a byte, the first in its low half.
  const bytes =
    bits === 8 ? unsigned : Uint8Array.from({ length: unsigned.length / 2 }, (_, i) => unsigned[2 * i] | (unsigned[2 * i + 1] << 4));
  const inputs = [x, graph.constant([n, blocks, 4 * bits], bytes), graph.constant([n * blocks], scales)];
  const attributes = { K: k, N: n, bits, block_size: 32, accuracy_level: level };
  return graph.op('Add', [graph.op('MatMulNBits', inputs, attributes, 'com.microsoft'), bias]);
}

/** Quantizes to uint8 and back, which onnxruntime folds into the integer ops around it. */
export function fakeQuantize(graph: OnnxGraph, x: string, lowest: number, highest: number): string {
  const scale = (highest - lowest) / 255;
  const parameters = [graph.scalar(scale), graph.constant([], Uint8Array.of(Math.round(-lowest / scale)))];
  return graph.op('DequantizeLinear', [graph.op('QuantizeLinear', [x, ...parameters]), ...parameters]);
}

/** A convolution of kernel size 3 (padding 1) or 1, with bias, as after folding a batch norm. */
export function convLayer(
  graph: OnnxGraph,
  x: string,
  [inC, outC, kernel, stride]: readonly [number, number, number, number],
  seed: number,
  precision: Precision,
): string {
  const dims = [outC, inC, kernel, kernel];
  const fan = inC * kernel * kernel;
  const weight = uniform(outC * fan, seed, Math.sqrt(3 / fan));
  const padding = kernel >> 1;
  const attributes = { kernel_shape: [kernel, kernel], strides: [stride, stride], pads: [padding, padding, padding, padding] };
  let w: string;
  if (precision === 'static int8') {
    const { codes, scales } = quantizeRows(weight, outC);
    const zeros = graph.constant([outC], new Int8Array(outC));
    w = graph.op('DequantizeLinear', [graph.constant(dims, codes), graph.constant([outC], scales), zeros], { axis: 0 });
  } else {
    w = graph.constant(dims, weight);
  }
  return graph.op('Conv', [x, w, graph.constant([outC], new Float32Array(outC))], attributes);
}
