import { setImmediate as nextTurn } from 'node:timers/promises';

import type { AnyModule } from '../nn';
import * as raw from '../ops/raw';
import { QTensor } from '../qtensor';
import { isQModule, type QuantizedModule } from '../quantize';
import { nameFilter } from '../quantize/patterns';
import { QuantoError } from '../tensor/error';
import { keep, tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

import { Comparison, type ModuleComparison } from './comparison';
import { DeviationMeter } from './deviation';
import { callForward, float32Copy, inferring, observing, outputTensors } from './inference';
import { argumentLists, type Samples } from './samples';

export interface CompareOptions {
  /** Names of the quantized modules to compare, with `*`, `?` and `[...]`; all by default. */
  include?: string | readonly string[];
  /** Names of the modules to leave out. */
  exclude?: string | readonly string[];
  /** Called after each sample with the number of samples done. */
  onProgress?: (samples: number) => void;
}

/** A quantized module, the float one of its name, and what is known of them so far. */
interface Pair {
  readonly name: string;
  readonly float: AnyModule;
  readonly quantized: AnyModule & QuantizedModule;
  readonly accumulated: DeviationMeter;
  readonly alone: DeviationMeter;
  calls: number;
}

/** A count that is still on its way from the device. */
interface PendingCount {
  readonly saturated: Tensor;
  readonly codes: number;
}

/** What one call of a quantized module gave. */
interface Observation {
  readonly values: Tensor;
  readonly input: PendingCount | null;
  readonly output: PendingCount | null;
}

/** One call of a pair: of the float module, of the quantized one on the same input, and of that one in its own model. */
interface Call {
  readonly reference: Tensor;
  readonly alone: Observation;
  accumulated: Observation | null;
}

/** What one sample gave, in tensors. */
interface Run {
  readonly calls: ReadonlyMap<Pair, Call[]>;
  readonly outputs: readonly (readonly [reference: Tensor, values: Tensor])[];
}

function findPairs(floatModel: AnyModule, quantModel: AnyModule, chosen: (name: string) => boolean): Pair[] {
  const floats = new Map(floatModel.namedModules());
  const pairs: Pair[] = [];
  for (const [name, quantized] of quantModel.namedModules()) {
    if (!isQModule(quantized) || !chosen(name)) continue;
    const float = floats.get(name);
    if (!float || isQModule(float)) {
      const came = float ? 'a quantized one' : 'none';
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[compare] expected a float module '${name}' in the first model but got ${came}; pass the float model that was quantized, a clone made before`,
      );
    }
    pairs.push({ name, float, quantized, accumulated: new DeviationMeter(), alone: new DeviationMeter(), calls: 0 });
  }
  if (pairs.length > 0) return pairs;
  throw new QuantoError(
    'INVALID_ARGUMENT',
    '[compare] expected a quantized model second but found no quantized module; quantize() it first',
  );
}

/** Holds a tensor beyond the tidy of whoever called the hook that made it; `compare` frees it. */
type Hold = (tensor: Tensor) => Tensor;

/** Counts the codes at an end of their range: at least qmax in magnitude. */
function countSaturated(activation: unknown, hold: Hold): PendingCount | null {
  if (!(activation instanceof QTensor)) return null;
  const codes = raw.cast(activation.codes, 'float32');
  const saturated = raw.binary('ge', raw.unary('abs', codes), activation.qtype.qmax);
  return { saturated: hold(raw.reduce('sum', saturated, [], false)), codes: codes.numel };
}

function observe(module: QuantizedModule, input: Tensor, output: Tensor, hold: Hold): Observation {
  return tidy(() => ({
    values: hold(float32Copy(output)),
    input: countSaturated(module.quantizeInput(input), hold),
    output: countSaturated(output, hold),
  }));
}

function requireSameShape(what: string, reference: Tensor, values: Tensor): void {
  if (reference.shape.join() === values.shape.join()) return;
  throw new QuantoError(
    'SHAPE_MISMATCH',
    `[compare] expected ${what} to have shape [${reference.shape.join(', ')}] in both models but got [${values.shape.join(', ')}] from the quantized one`,
  );
}

/** Both models on one sample. The quantized modules run alone inside the float model's run, so that no input has to be held. */
function runBoth(floatModel: AnyModule, quantModel: AnyModule, pairs: readonly Pair[], args: readonly unknown[], hold: Hold): Run {
  const calls = new Map(pairs.map((pair) => [pair, [] as Call[]]));
  const callsOf = (pair: Pair) => calls.get(pair) as Call[];
  const watchFloat = pairs.map((pair) => ({
    module: pair.float,
    see: (inputs: readonly unknown[], output: unknown) => {
      const alone = callForward(pair.quantized, inputs) as Tensor;
      requireSameShape(`the output of '${pair.name}'`, output as Tensor, alone);
      const reference = hold(float32Copy(output as Tensor));
      callsOf(pair).push({ reference, alone: observe(pair.quantized, inputs[0] as Tensor, alone, hold), accumulated: null });
    },
  }));
  const seen = new Map<Pair, number>();
  const watchQuantized = pairs.map((pair) => ({
    module: pair.quantized,
    see: (inputs: readonly unknown[], output: unknown) => {
      const place = seen.get(pair) ?? 0;
      seen.set(pair, place + 1);
      const call = callsOf(pair).at(place);
      if (!call) return;
      requireSameShape(`the output of '${pair.name}'`, call.reference, output as Tensor);
      call.accumulated = observe(pair.quantized, inputs[0] as Tensor, output as Tensor, hold);
    },
  }));
  const outputsOf = (model: AnyModule) => outputTensors('compare', callForward(model, args)).map((tensor) => hold(float32Copy(tensor)));
  const references = observing(watchFloat, () => outputsOf(floatModel));
  const values = observing(watchQuantized, () => outputsOf(quantModel));
  for (const pair of pairs) {
    const [float, quantized] = [callsOf(pair).length, seen.get(pair) ?? 0];
    if (float === quantized) continue;
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[compare] expected '${pair.name}' to run as often in both models but it ran ${float} times in float and ${quantized} times quantized; exclude it`,
    );
  }
  if (references.length !== values.length) {
    throw new QuantoError(
      'INVALID_ARGUMENT',
      `[compare] expected ${references.length} output tensors of the quantized model but got ${values.length}`,
    );
  }
  const outputs = references.map((reference, i) => {
    requireSameShape("the model's output", reference, values[i]);
    return [reference, values[i]] as const;
  });
  return { calls, outputs };
}

const read = async (tensor: Tensor) => (await tensor.data()) as Float32Array;

async function addObservation(meter: DeviationMeter, reference: Float32Array, { values, input, output }: Observation): Promise<void> {
  await meter.add(reference, await read(values));
  for (const [side, count] of Object.entries({ input, output }) as ['input' | 'output', PendingCount | null][]) {
    if (count) meter.addCodes(side, { saturated: Number((await count.saturated.data())[0]), codes: count.codes });
  }
}

/** Reads a run call by call, which leaves the event loop free, and adds it up. */
async function addRun({ calls, outputs }: Run, meter: DeviationMeter): Promise<void> {
  for (const [pair, list] of calls) {
    for (const { reference, alone, accumulated } of list) {
      const values = await read(reference);
      await addObservation(pair.alone, values, alone);
      if (accumulated) await addObservation(pair.accumulated, values, accumulated);
      pair.calls++;
    }
  }
  for (const [reference, values] of outputs) await meter.add(await read(reference), await read(values));
}

function describe({ name, quantized, accumulated, alone, calls }: Pair): ModuleComparison {
  const { weights, activations } = quantized.quantization;
  return {
    name,
    type: quantized.constructor.name,
    weights: weights?.name ?? 'none',
    activations: activations?.name ?? 'none',
    calls,
    accumulated: calls > 0 ? accumulated.result : null,
    alone: calls > 0 ? alone.result : null,
  };
}

/**
 * Measures what quantization changes, module by module: for every quantized module and the float one of the same name the
 * signal-to-quantization-noise ratio, the cosine, the largest error and the share of saturated activation codes. `accumulated` compares the
 * two models as they run, so it holds the errors of all modules before; `alone` gives the quantized module the float model's input, so it
 * holds this module's own error only. Sums are in double precision.
 *
 * One sample is in memory at a time, and the event loop stays free between the ops. Both models are run in eval mode, without a gradient
 * and unseen by any calibration; they are left as they were.
 * @throws QuantoError INVALID_ARGUMENT where the models do not match or there is no sample, SHAPE_MISMATCH where outputs differ in shape
 */
export async function compare(
  floatModel: AnyModule,
  quantModel: AnyModule,
  samples: Samples,
  options: CompareOptions = {},
): Promise<Comparison> {
  const pairs = findPairs(floatModel, quantModel, nameFilter(options.include, options.exclude));
  const output = new DeviationMeter();
  let count = 0;
  for await (const args of argumentLists('compare', samples)) {
    const held: Tensor[] = [];
    const hold = (tensor: Tensor) => {
      held.push(keep(tensor));
      return tensor;
    };
    try {
      await addRun(
        inferring([floatModel, quantModel], () => runBoth(floatModel, quantModel, pairs, args, hold)),
        output,
      );
    } finally {
      for (const tensor of held) tensor.dispose();
    }
    // Reading what is ready already does not give timers and I/O their turn.
    await nextTurn();
    count++;
    options.onProgress?.(count);
  }
  if (count === 0) throw new QuantoError('INVALID_ARGUMENT', '[compare] expected at least one sample but got none');
  return new Comparison(pairs.map(describe), output.result, count);
}
