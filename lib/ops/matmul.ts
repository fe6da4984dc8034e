import { native } from '../native';
import { QuantoError } from '../tensor/error';
import { type AnyOp, apply, type Op, requireTensor } from '../tensor/op';
import { Tensor } from '../tensor/tensor';

import * as raw from './raw';

/** Vectors as matrices of one column or row, so that one gradient formula serves all. */
function asMatrices(a: Tensor, b: Tensor): readonly [Tensor, Tensor] {
  return [a.ndim === 1 ? raw.reshape(a, [1, -1]) : a, b.ndim === 1 ? raw.reshape(b, [-1, 1]) : b];
}

/** A product's gradient with the dims that vectors lost: [..., M, N]. */
function restoreDims(dy: Tensor, a: Tensor, b: Tensor): Tensor {
  const shape = [...dy.shape];
  if (b.ndim === 1) shape.push(1);
  if (a.ndim === 1) shape.splice(-1, 0, 1);
  return raw.reshape(dy, shape);
}

const matmulOp: Op = {
  name: 'matmul',
  forward: ([a, b]) => raw.matmul(a, b),
  save: (inputs) => inputs,
  vjp: (dy, [a, b], { inputs }) => {
    const [left, right] = asMatrices(a, b);
    const gradient = restoreDims(dy, a, b);
    // A vector's extra dim leaves again; broadcast batch dims are summed by the caller.
    const back = (full: Tensor, i: number) => {
      if (inputs[i].shape.length > 1) return full;
      return raw.reshape(raw.reduce('sum', raw.reshape(full, [-1, ...inputs[i].shape]), [0], false), inputs[i].shape);
    };
    return [() => back(raw.matmul(gradient, raw.transposeLast(right)), 0), () => back(raw.matmul(raw.transposeLast(left), gradient), 1)];
  },
};

/** a [..., M, K] x b [..., K, N] with broadcast batch dims; vectors as in PyTorch. Both of one floating-point dtype. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  return apply(matmulOp, [a, b], undefined);
}

/** a [B, M, K] x b [B, K, N]. Named apart because quantized dispatch treats it apart (see lib/qtensor/rules.ts). */
const bmmOp: Op = { ...matmulOp, name: 'bmm' };
export function bmm(a: Tensor, b: Tensor): Tensor {
  for (const operand of [a, b]) {
    if (requireTensor('bmm', operand).ndim === 3) continue;
    throw new QuantoError('SHAPE_MISMATCH', `[bmm] expected batches [B, M, K] but got shape [${operand.shape.join(', ')}]; use matmul`);
  }
  return apply(bmmOp, [a, b], undefined);
}

const linearOp: Op = {
  name: 'linear',
  forward: ([src, weight, bias]) =>
    Tensor.fromNative(native.linear(src.native, weight.native, (bias as Tensor | undefined)?.native ?? null)),
  save: ([src, weight]) => [src, weight],
  vjp: (dy, [src, weight]) => {
    const flat = (tensor: Tensor) => raw.reshape(tensor, [-1, tensor.shape[tensor.ndim - 1]]);
    return [
      () => raw.matmul(dy, weight),
      () => raw.matmul(raw.transposeLast(flat(dy)), flat(src)),
      () => raw.reduce('sum', flat(dy), [0], false),
    ];
  },
};

/** src [..., in] x weight [out, in]^T + bias [out]. */
export function linear(src: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  return apply(linearOp, bias ? [src, weight, bias] : [src, weight], undefined);
}

/** int8 [..., M, K] x int8 [..., K, N] -> int32, exact. */
export function intMatmul(a: Tensor, b: Tensor): Tensor {
  return Tensor.fromNative(native.intMatmul(requireTensor('intMatmul', a).native, requireTensor('intMatmul', b).native));
}

export const matmulOps: readonly AnyOp[] = [matmulOp, bmmOp, linearOp];
