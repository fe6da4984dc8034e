// How a calibration turns the activations that it sees into a scale.
import { native, ReduceOp } from '../native';
import * as raw from '../ops/raw';
import { absmaxScale, type QType } from '../qtensor';
import { QuantoError } from '../tensor/error';
import { dtypeCode } from '../tensor/dtype';
import { Tensor } from '../tensor/tensor';

import { movingAverage } from './activation-scale';

/** A rule for the scale of an activation; `observer` of quantize takes one, or a name of `observers`. */
export interface Observer {
  /** The scale that one batch asks for: [] in its dtype. */
  measure(values: Tensor, qtype: QType): Tensor;
  /** The scale so far, and the one of the latest batch, as one; `momentum` is the calibration's. */
  fold(old: Tensor, latest: Tensor, momentum: number): Tensor;
}

/** The magnitude below which a share of the values lies, as a scale. NaN and infinities count as large. */
function percentileScale(values: Tensor, qtype: QType, share: number): Tensor {
  const sizes = raw.reshape(raw.unary('abs', values), [-1]);
  const above = sizes.numel - Math.ceil(share * sizes.numel);
  if (above === 0) return absmaxScale(values, { qtype });
  const [largest] = native.topk(sizes.native, above + 1, 0, true).map((handle) => Tensor.fromNative(handle));
  return raw.div(raw.reshape(raw.slice(largest, 0, above, above + 1), []), qtype.qmax);
}

/** Scales that are tried, as shares of the largest magnitude's. */
const TRIED = Array.from({ length: 20 }, (_, i) => 1 - i / 24);

/** The one of some scales whose codes have the least mean squared error. */
function leastSquaresScale(values: Tensor, qtype: QType): Tensor {
  const widest = absmaxScale(values, { qtype });
  const scales = TRIED.map((share) => raw.mul(widest, share));
  const errors = scales.map((scale) => {
    const codes = Tensor.fromNative(native.quantize(values.native, scale.native, dtypeCode(qtype.dtype)));
    const back = Tensor.fromNative(native.dequantize(codes.native, scale.native));
    const error = raw.reduce('mean', raw.cast(raw.unary('square', raw.sub(back, values)), 'float32'), [], false);
    for (const made of [codes, back]) made.dispose();
    return error;
  });
  const join = (parts: readonly Tensor[]) => {
    const handles = parts.map((part) => raw.reshape(part, [1]).native);
    return Tensor.fromNative(native.cat(handles, 0));
  };
  const least = Tensor.fromNative(native.argReduce(ReduceOp.min, join(errors).native, 0, true));
  return raw.reshape(Tensor.fromNative(native.indexSelect(join(scales).native, 0, least.native)), []);
}

/** Outliers beyond a share of the values, from 0 to 1, saturate. */
export function percentileObserver(share: number): Observer {
  if (!(share > 0 && share <= 1)) {
    throw new QuantoError('INVALID_ARGUMENT', `[percentileObserver] expected a share above 0 and at most 1 but got ${share}`);
  }
  return { measure: (values, qtype) => percentileScale(values, qtype, share), fold: movingAverage };
}

const measureAbsmax = (values: Tensor, qtype: QType): Tensor => absmaxScale(values, { qtype });

/** The observers by name. */
export const observers = {
  /** The moving average of the largest magnitudes of batches: Quanto's, and the default. */
  movingAverage: { measure: measureAbsmax, fold: movingAverage },
  /** The largest magnitude of all batches. */
  absmax: { measure: measureAbsmax, fold: (old, latest) => raw.binary('maximum', old, latest) },
  /** The magnitude that 99.9 % of the values do not pass, averaged over batches. */
  percentile: percentileObserver(0.999),
  /** The scale of the least mean squared error, averaged over batches. */
  mse: { measure: leastSquaresScale, fold: movingAverage },
} as const satisfies Record<string, Observer>;

export type ObserverName = keyof typeof observers;

/** An observer from itself or its name. */
export function toObserver(value: Observer | ObserverName): Observer {
  if (typeof value !== 'string') return value;
  if (Object.hasOwn(observers, value)) return observers[value];
  throw new QuantoError('INVALID_ARGUMENT', `[quantize] expected one of ${Object.keys(observers).join(', ')} but got ${value}`);
}
