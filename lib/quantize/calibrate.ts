import { isPromise } from '../tensor/async-scope';
import { QuantoError } from '../tensor/error';

import { type Calibration, type CalibrationOptions, calibrations } from './calibration-scope';
import type { QuantizedModule } from './qmodule';

function begin(options: CalibrationOptions | null): Calibration {
  if (typeof options !== 'object' || options === null) {
    throw new QuantoError('INVALID_ARGUMENT', `[calibration] expected a function or options but got ${String(options)}`);
  }
  const { momentum = 0.9, streamline = true, debug = false } = options;
  if (!(momentum >= 0 && momentum < 1)) {
    throw new QuantoError('INVALID_ARGUMENT', `[calibration] expected a momentum from 0 to below 1 but got ${momentum}`);
  }
  return { options: { momentum, streamline, debug }, modules: new Map() };
}

/**
 * Decides which outputs stay quantized, and reads the scales, so that dispatch never has to ask the device. A module whose scales cannot be
 * read, because a sample failed on its way, is as it was before; then the first of these errors is thrown.
 */
function end({ options, modules }: Calibration): void {
  const failures: unknown[] = [];
  for (const [module, before] of modules) {
    try {
      module.settle(options.streamline);
      if (options.debug) print(module);
    } catch (error) {
      before.restore();
      failures.push(error);
    }
    before.dispose();
  }
  if (failures.length > 0) throw failures[0];
}

function print(module: QuantizedModule): void {
  const { activations } = module.quantization;
  const sides = (['input', 'output'] as const).filter((side) => module.calibrated[side] && (side === 'input' || module.outputQuantized));
  for (const side of sides) {
    const scale = side === 'input' ? module.input_scale : module.output_scale;
    console.log(`${String(module)}: ${side} is quantized to ${activations?.name} with scale ${scale.hostValue}`);
  }
}

/** An open calibration; disposing it ends the recording. */
export interface OpenCalibration extends Disposable {
  /** Ends the calibration; further calls do nothing. */
  end(): void;
}

/**
 * Records the ranges of activations of every quantized model that runs inside `fn`, sync or async: each module's scales follow the largest
 * magnitudes with momentum (Quanto's Calibration). Models that run beside it are not touched. Afterwards activations are quantized; where
 * `fn` throws, with what was recorded until then.
 * Without a function it returns an object for `using`, for synchronous code.
 * @returns what `fn` returns
 */
export function calibration(options?: CalibrationOptions): OpenCalibration;
export function calibration<R>(fn: () => R, options?: CalibrationOptions): R;
export function calibration<R>(fnOrOptions: (() => R) | CalibrationOptions = {}, options: CalibrationOptions = {}): R | OpenCalibration {
  if (typeof fnOrOptions !== 'function') return open(fnOrOptions);
  const recorded = begin(options);
  const failed = (error: unknown): never => {
    try {
      end(recorded);
    } catch {
      // The first error says more.
    }
    throw error;
  };
  let result: R;
  try {
    result = calibrations.run(recorded, fnOrOptions);
  } catch (error) {
    return failed(error);
  }
  const succeeded = (value: unknown) => {
    end(recorded);
    return value;
  };
  return (isPromise(result) ? result.then(succeeded, failed) : succeeded(result)) as R;
}

function open(options: CalibrationOptions): OpenCalibration {
  const recorded = begin(options);
  let close: (() => void) | null = calibrations.open(recorded);
  const finish = () => {
    if (!close) return;
    close();
    close = null;
    end(recorded);
  };
  return { end: finish, [Symbol.dispose]: finish };
}
