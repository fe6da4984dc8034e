import { tensor } from '../../lib/ops';
import type { NestedArray, Tensor } from '../../lib/tensor/tensor';

/** The gradient of the sum of a function's result, where differences of a reference say nothing: at kinks, ties and infinities. */
export function slopesAt(values: NestedArray, run: (src: Tensor) => Tensor): NestedArray | undefined {
  const src = tensor(values, { requiresGrad: true });
  run(src).sum().backward();
  return src.grad?.tolist();
}
