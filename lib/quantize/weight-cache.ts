// Quantized weights of modules that are not frozen, kept from one evaluation to the next.
import { native } from '../native';
import { packForGemm, type QTensor } from '../qtensor';
import { noGrad } from '../tensor/grad-mode';
import { keep, tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

interface Entry {
  /** Of the contents that were quantized: every write in place counts it up. */
  readonly version: number;
  /** How they were quantized. */
  readonly config: object;
  readonly quantized: QTensor;
}

/** By the identity of the float weight, so that an entry lives no longer than that. */
const entries = new WeakMap<object, Entry>();

/** The quantized form of a float weight as kernels stream it: made anew when the weight was written to, or for another config. */
export function cachedWeight(weight: Tensor, config: object, quantize: () => QTensor): QTensor {
  const version = native.versionOf(weight.native);
  const entry = entries.get(weight.identity);
  if (entry?.version === version && entry.config === config && !entry.quantized.isDisposed) return entry.quantized;
  entry?.quantized.dispose();
  const quantized = keep(noGrad(() => tidy(() => packForGemm(quantize()))));
  entries.set(weight.identity, { version, config, quantized });
  return quantized;
}

/** Frees what was kept for a float weight that goes out of use. */
export function dropCachedWeight(weight: Tensor): void {
  entries.get(weight.identity)?.quantized.dispose();
  entries.delete(weight.identity);
}
