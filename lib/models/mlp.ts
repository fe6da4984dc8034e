import { type Followers, forwardThen, type Fusion, Linear, Module } from '../nn';
import { QuantoError } from '../tensor/error';
import type { Tensor } from '../tensor/tensor';

/** Linear layers with ReLU between them: [..., sizes[0]] -> [..., sizes.at(-1)]. The layers are fc1, fc2 and so on. */
export class MLP extends Module {
  readonly [layer: `fc${number}`]: Linear;

  constructor(readonly sizes: readonly number[]) {
    super();
    if (sizes.length < 2) throw new QuantoError('INVALID_ARGUMENT', `[MLP] expected at least two sizes but got [${sizes.join(', ')}]`);
    const layers = sizes.slice(1).map((size, i) => [`fc${i + 1}`, new Linear(sizes[i], size)] as const);
    Object.assign(this, Object.fromEntries(layers));
  }

  forward(src: Tensor): Tensor {
    const last = this.sizes.length - 1;
    let hidden = src;
    for (let i = 1; i < last; i++) hidden = forwardThen(this[`fc${i}`], hidden, this.followers(i));
    return this[`fc${last}`].forward(hidden);
  }

  private followers(i: number): Followers {
    return { activation: 'relu', readers: [this[`fc${i + 1}`]] };
  }

  override fusions(): readonly Fusion[] {
    return Array.from({ length: this.sizes.length - 2 }, (_, i) => ({ layer: this[`fc${i + 1}`], ...this.followers(i + 1) }));
  }
}
