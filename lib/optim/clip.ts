import * as raw from '../ops/raw';
import { full } from '../ops/creation';
import { QuantoError } from '../tensor/error';
import { noGrad } from '../tensor/grad-mode';
import { keep, tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

/**
 * Scales all gradients by one factor so that the L2 norm of them together is at most `maxNorm`, as torch.nn.utils.clip_grad_norm_ does.
 * Gives the norm before, a scalar tensor; nothing waits for it. Gradients are replaced, not changed in place.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor {
  if (!(maxNorm >= 0)) throw new QuantoError('INVALID_ARGUMENT', `[clipGradNorm] expected a norm of at least 0 but got ${maxNorm}`);
  const clipped = [...parameters].filter((parameter) => parameter.grad !== null);
  return noGrad(() =>
    tidy(() => {
      const squares = clipped.map(({ grad }) => raw.reduce('sum', raw.unary('square', raw.cast(grad as Tensor, 'float32')), [], false));
      if (squares.length === 0) return full([], 0);
      const norm = raw.unary(
        'sqrt',
        squares.reduce((total, square) => raw.add(total, square)),
      );
      const factor = raw.unary('clamp', raw.binaryReversed('div', maxNorm, raw.add(norm, 1e-6)), -Infinity, 1);
      for (const parameter of clipped) {
        const before = parameter.grad as Tensor;
        parameter.grad = keep(raw.mul(before, raw.cast(factor, before.dtype)));
        before.dispose();
      }
      return norm;
    }),
  );
}
