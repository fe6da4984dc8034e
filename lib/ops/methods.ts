// Ops as methods of Tensor: x.add(y) is add(x, y). Names are listed once; the types follow from the functions.
import { Tensor } from '../tensor/tensor';

import * as binary from './binary';
import * as conv from './conv';
import * as convert from './convert';
import * as indexing from './indexing';
import * as inplace from './inplace';
import * as matmul from './matmul';
import * as norm from './norm';
import * as read from './read';
import * as reduce from './reduce';
import * as shape from './shape';
import * as unary from './unary';

function pick<T extends object, K extends keyof T>(family: T, ...names: K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, family[name]])) as Pick<T, K>;
}

const unaryMethods = {
  ...pick(unary, 'neg', 'abs', 'sign', 'square', 'relu', 'clamp', 'round', 'floor', 'ceil', 'reciprocal', 'exp', 'log', 'sqrt', 'rsqrt'),
  ...pick(unary, 'sin', 'cos', 'tanh', 'erf', 'sigmoid', 'silu', 'gelu', 'isnan', 'isfinite', 'logicalNot'),
};
const binaryMethods = {
  ...pick(binary, 'add', 'sub', 'mul', 'div', 'pow', 'maximum', 'minimum', 'eq', 'ne', 'lt', 'le', 'gt', 'ge'),
  ...pick(binary, 'logicalAnd', 'logicalOr', 'logicalXor', 'maskedFill'),
  /** This tensor where the condition holds, `other` elsewhere. */
  where: (self: Tensor, condition: Tensor, other: binary.Operand): Tensor => binary.where(condition, self, other),
};
const reduceMethods = {
  ...pick(reduce, 'sum', 'mean', 'max', 'amax', 'min', 'amin', 'absmax', 'logsumexp', 'any', 'all', 'var'),
  ...pick(reduce, 'argmax', 'argmin', 'cumsum'),
};
const matmulMethods = pick(matmul, 'matmul', 'bmm', 'linear');
const shapeMethods = {
  ...pick(shape, 'view', 'reshape', 'flatten', 'squeeze', 'unsqueeze', 'permute', 'transpose', 't', 'expand', 'slice', 'select'),
  ...pick(shape, 'split', 'chunk', 'pad'),
  /** This tensor and others joined along an axis. */
  cat: (self: Tensor, others: readonly Tensor[], axis = 0): Tensor => shape.cat([self, ...others], axis),
  /** This tensor and others joined along a new axis. */
  stack: (self: Tensor, others: readonly Tensor[], axis = 0): Tensor => shape.stack([self, ...others], axis),
};
const convertMethods = pick(convert, 'clone', 'contiguous', 'to', 'float', 'half', 'cpu', 'cuda');
const indexMethods = pick(indexing, 'indexSelect', 'indexAdd', 'gather', 'scatterAdd', 'topk', 'tril', 'triu');
const normMethods = pick(norm, 'softmax', 'logSoftmax', 'layerNorm', 'rmsNorm');
const convMethods = pick(conv, 'conv2d', 'maxPool2d', 'avgPool2d', 'adaptiveAvgPool2d');
const inplaceMethods = pick(inplace, 'copy_', 'fill_', 'zero_', 'add_', 'mul_');
const readMethods = pick(read, 'item', 'tolist', 'equal', 'allclose');

/** Functions of a tensor and more, as its methods. */
type MethodsOf<T> = { [K in keyof T]: T[K] extends (self: Tensor, ...rest: infer R) => infer O ? (...rest: R) => O : never };

declare module '../tensor/tensor' {
  interface Tensor
    extends
      MethodsOf<typeof unaryMethods>,
      MethodsOf<typeof binaryMethods>,
      MethodsOf<typeof reduceMethods>,
      MethodsOf<typeof matmulMethods>,
      MethodsOf<typeof shapeMethods>,
      MethodsOf<typeof convertMethods>,
      MethodsOf<typeof indexMethods>,
      MethodsOf<typeof normMethods>,
      MethodsOf<typeof convMethods>,
      MethodsOf<typeof inplaceMethods>,
      MethodsOf<typeof readMethods> {}
}

const methods: Readonly<Record<string, (self: never, ...rest: never[]) => unknown>> = {
  ...unaryMethods,
  ...binaryMethods,
  ...reduceMethods,
  ...matmulMethods,
  ...shapeMethods,
  ...convertMethods,
  ...indexMethods,
  ...normMethods,
  ...convMethods,
  ...inplaceMethods,
  ...readMethods,
};

for (const [name, method] of Object.entries(methods)) {
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: never[]) {
      return method(this as never, ...rest);
    },
    writable: true,
    configurable: true,
  });
}
