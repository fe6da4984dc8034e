import { adaptiveAvgPool2d, avgPool2d, maxPool2d, type Pair, type PoolOptions } from '../ops/conv';
import type { Tensor } from '../tensor/tensor';

import { Module } from './module';

const describe = (size: Pair, options: object): string =>
  [`kernelSize=${JSON.stringify(size)}`, ...Object.entries(options).map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(', ');

/** Largest value of each window of [N, C, H, W] or [C, H, W]; the stride is the kernel's size unless given. */
export class MaxPool2d extends Module {
  constructor(
    readonly kernelSize: Pair,
    readonly options: PoolOptions & { dilation?: Pair } = {},
  ) {
    super();
  }

  forward(src: Tensor): Tensor {
    return maxPool2d(src, this.kernelSize, this.options);
  }

  protected override extraRepr(): string {
    return describe(this.kernelSize, this.options);
  }
}

/** Mean of each window of [N, C, H, W] or [C, H, W]; padding counts in the divisor unless `countIncludePad` is false. */
export class AvgPool2d extends Module {
  constructor(
    readonly kernelSize: Pair,
    readonly options: PoolOptions & { countIncludePad?: boolean } = {},
  ) {
    super();
  }

  forward(src: Tensor): Tensor {
    return avgPool2d(src, this.kernelSize, this.options);
  }

  protected override extraRepr(): string {
    return describe(this.kernelSize, this.options);
  }
}

/** Means of windows that divide the image into `outputSize` parts: [N, C, H, W] -> [N, C, ...outputSize]. */
export class AdaptiveAvgPool2d extends Module {
  constructor(readonly outputSize: Pair) {
    super();
  }

  forward(src: Tensor): Tensor {
    return adaptiveAvgPool2d(src, this.outputSize);
  }

  protected override extraRepr(): string {
    return `outputSize=${JSON.stringify(this.outputSize)}`;
  }
}
