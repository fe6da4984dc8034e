import type { AnyModule, Module } from '../nn';
import { calibrations } from '../quantize/calibration-scope';
import { noGrad } from '../tensor/grad-mode';
import { tidy } from '../tensor/scope';
import { QTensor } from '../qtensor';
import { QuantoError } from '../tensor/error';
import { Tensor } from '../tensor/tensor';

/** Calls `forward` with arguments of whatever kind. */
export function callForward(model: AnyModule, args: readonly unknown[]): unknown {
  return (model as unknown as Module<unknown[], unknown>).forward(...args);
}

/**
 * Runs a synchronous function in which models only infer: in eval mode, unrecorded, unseen by a calibration around it, and tidied. The modes
 * are restored before anything else can run, so training or calibrating the same models between two such calls is not disturbed.
 */
export function inferring<R>(models: readonly AnyModule[], body: () => R): R {
  const modes = new Map(models.flatMap((model) => model.modules()).map((module) => [module, module.training]));
  try {
    for (const module of modes.keys()) module.training = false;
    return calibrations.run(undefined, () => noGrad(() => tidy(body)));
  } finally {
    for (const [module, mode] of modes) module.training = mode;
  }
}

/** A function that sees the arguments and the result of each call of a module. */
export interface Observer {
  readonly module: AnyModule;
  readonly see: (args: readonly unknown[], output: unknown) => void;
}

/** Runs a synchronous function while observers watch their modules, and takes them away again whatever happens. */
export function observing<R>(observers: readonly Observer[], body: () => R): R {
  const removals: (() => void)[] = [];
  try {
    for (const { module, see } of observers) {
      const hook = (_module: AnyModule, args: readonly unknown[], output: unknown) => {
        see(args, output);
      };
      // The observers copy what they need, so nothing else has to outlive the run.
      removals.push((module as Module<unknown[], unknown>).registerForwardHook(hook, { keep: false }));
    }
    return body();
  } finally {
    for (const remove of removals) remove();
  }
}

/** The tensors of a model's result: itself, or those in arrays and plain objects, in order. */
export function outputTensors(op: string, output: unknown): Tensor[] {
  if (output instanceof Tensor) return [output];
  if (typeof output === 'object' && output !== null && typeof (output as { then?: unknown }).then !== 'function') {
    const found = Object.values(output).flatMap((item) => (typeof item === 'object' && item !== null ? outputTensors(op, item) : []));
    if (found.length > 0) return found;
  }
  throw new QuantoError(
    'NOT_SUPPORTED',
    `[${op}] expected forward to return tensors, alone or in arrays and objects, but got ${String(output)}; wrap the model in a module that does`,
  );
}

/** The values in float32 and in memory of their own: what comes later may write to the original in place. */
export function float32Copy(tensor: Tensor): Tensor {
  return tensor instanceof QTensor || tensor.dtype !== 'float32' ? tensor.dequantize().to('float32').detach() : tensor.copy();
}
