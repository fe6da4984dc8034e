import { AsyncScope } from '../tensor/async-scope';

import type { QuantizedModule } from './qmodule';
import type { RestorePoint } from './restore-point';

/** How a calibration records the ranges of activations. */
export interface CalibrationOptions {
  /** Weight of the past in the moving average of scales; 0 keeps the last batch only. Default 0.9. */
  momentum?: number;
  /** Whether outputs stay quantized only where the consumer takes integers. Default true. */
  streamline?: boolean;
  /** Whether the scales of each module are printed when the calibration ends. Default false. */
  debug?: boolean;
}

/** One calibration under way: its options and the modules that it has seen. */
export interface Calibration {
  readonly options: Readonly<Required<CalibrationOptions>>;
  /** With what they were before it. */
  readonly modules: Map<QuantizedModule, RestorePoint>;
}

/** The calibration that the running code belongs to; others may run beside it. */
export const calibrations = new AsyncScope<Calibration>();
