import { keep } from '../tensor/scope';
import { Parameter, Tensor, type TensorRole } from '../tensor/tensor';

/** A tensor of the same values in memory of its own, with the role, the flags and the gradient of the original. */
function copyTensor(tensor: Tensor): Tensor {
  const values = tensor.copy();
  const copy = tensor instanceof Parameter ? new Parameter(values, tensor.requiresGrad) : values;
  if (copy !== values) {
    values.dispose();
  } else {
    (copy as { role: TensorRole }).role = tensor.role;
    if (tensor.parts().every((part) => part.kept)) keep(copy);
    if (tensor.isLeaf) copy.requiresGrad = tensor.requiresGrad;
  }
  if (tensor.grad) copy.grad = copyTensor(tensor.grad);
  return copy;
}

function copyProperties(from: object, to: object, memo: Map<unknown, unknown>, isModule: (value: unknown) => boolean): void {
  for (const [name, value] of Object.entries(from)) {
    (to as Record<string, unknown>)[name] = deepCopy(value, memo, isModule);
  }
}

/**
 * Copies tensors, modules, arrays, Maps, Sets and plain objects, however nested; what is shared stays shared among the copies. Anything
 * else (functions, qtypes, other class instances) is passed on as it is.
 */
export function deepCopy(value: unknown, memo: Map<unknown, unknown>, isModule: (value: unknown) => boolean): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const known = memo.get(value);
  if (known !== undefined) return known;
  const remember = <T>(copy: T): T => {
    memo.set(value, copy);
    return copy;
  };
  if (value instanceof Tensor) return remember(copyTensor(value));
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (Array.isArray(value)) {
    const copy = remember<unknown[]>([]);
    for (const item of value) copy.push(deepCopy(item, memo, isModule));
    return copy;
  }
  if (value instanceof Map) {
    const copy = remember(new Map<unknown, unknown>());
    for (const [key, item] of value) copy.set(deepCopy(key, memo, isModule), deepCopy(item, memo, isModule));
    return copy;
  }
  if (value instanceof Set) {
    const copy = remember(new Set<unknown>());
    for (const item of value) copy.add(deepCopy(item, memo, isModule));
    return copy;
  }
  // Objects of another realm have another Object.prototype; theirs has no prototype either.
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!isPlain && !isModule(value)) return value;
  const copy = remember(Object.create(prototype) as object);
  copyProperties(value, copy, memo, isModule);
  return copy;
}
