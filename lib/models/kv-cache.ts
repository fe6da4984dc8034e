import { cat } from '../ops/shape';
import { keep } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/** Keys and values [N, heads, L, dim] of the tokens that a model has seen, by layer. Freed by `dispose`, never by `tidy`. */
export class KeyValueCache {
  private readonly layers: { key: Tensor; value: Tensor }[] = [];

  /** Tokens seen by a layer so far. */
  length(layer: number): number {
    return this.layers.at(layer)?.key.shape[2] ?? 0;
  }

  /** Adds the latest tokens of a layer; gives the keys and values of all. */
  append(layer: number, key: Tensor, value: Tensor): [Tensor, Tensor] {
    const before = this.layers.at(layer);
    const after = before
      ? { key: cat([before.key, key], 2), value: cat([before.value, value], 2) }
      : { key: key.detach(), value: value.detach() };
    before?.key.dispose();
    before?.value.dispose();
    keep(after.key);
    keep(after.value);
    this.layers[layer] = after;
    return [after.key, after.value];
  }

  dispose(): void {
    for (const { key, value } of this.layers.splice(0)) {
      key.dispose();
      value.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
