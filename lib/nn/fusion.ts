// What follows a layer may run in its native call, where nobody can see what lies between.
import { gelu, relu, silu } from '../ops/unary';
import { recordsGradient } from '../tensor/grad-mode';
import { tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import type { Linear } from './linear';
import type { AnyModule, Module } from './module';

/** Activations that a native linear layer applies to its result. */
export type ActivationName = 'relu' | 'gelu' | 'geluTanh' | 'silu';

const functions: Readonly<Record<ActivationName, (src: Tensor) => Tensor>> = {
  relu,
  gelu,
  geluTanh: (src) => gelu(src, { approximate: 'tanh' }),
  silu,
};

/** @internal Their numbers in csrc/backend.h. */
export const activationNumbers: Readonly<Record<ActivationName, number>> = { relu: 1, gelu: 2, geluTanh: 3, silu: 4 };

/** What follows a layer, in this order. */
export interface Followers {
  readonly activation?: ActivationName;
  /** The layers that alone read the result: it may come in the codes that all of them want. */
  readonly readers?: readonly Linear[];
}

/** A layer of a module with what follows it there. */
export interface Fusion extends Followers {
  readonly layer: AnyModule;
}

/** A layer that may run what follows it. */
export interface FusingLayer {
  /** @internal What its native call does beside the layer, without a gradient and on inputs of its dtype. */
  stepsThen(followers: Followers): FusedSteps | null;
  /** @internal The layer and what follows it in one native call, to the same bits; null where that cannot be. */
  fusedThen(src: Tensor, followers: Followers): Tensor | null;
}

/** @internal What a native call does after the layer. */
export interface FusedSteps {
  readonly activation: ActivationName | null;
  /** The codes of the result, where it is quantized for its readers. */
  readonly codes: InputCodes | null;
}

/** @internal The codes that a layer wants its input in. */
export interface InputCodes {
  /** One number. */
  readonly scale: Tensor;
  /** Integers as a quantized tensor of that scale. */
  wrap(codes: Tensor): Tensor;
  /** Whether another layer wants the same. */
  equals(other: InputCodes): boolean;
}

/** @internal The codes that all readers want; null where they want floats or differ. */
export function commonCodes({ readers = [] }: Followers): InputCodes | null {
  const [first, ...others] = readers.map((reader) => (reader as Partial<Linear>).inputCodes);
  return first && others.every((codes) => codes?.equals(first)) ? first : null;
}

/** @internal The parameters of a layer and of those that read its result record no gradient. */
export function recordsAny(operands: readonly (Tensor | null)[], { readers = [] }: Followers): boolean {
  return recordsGradient([...operands, ...readers.flatMap(({ weight, bias }) => [weight, bias])]);
}

/**
 * activation(layer.forward(src)). A quantized layer does it in one native call where nobody can see what lies between (no gradient is
 * recorded, no hooks), to the same bits; its result may come in the codes that its readers want, and a norm's may, too.
 */
export function forwardThen(layer: Module, src: Tensor, followers: Followers): Tensor {
  const { activation } = followers;
  // A model's layer may have been replaced by any module.
  const fused = (layer as Partial<FusingLayer>).fusedThen?.(src, followers);
  if (fused) return fused;
  return activation ? tidy(() => functions[activation](layer.forward(src))) : layer.forward(src);
}
