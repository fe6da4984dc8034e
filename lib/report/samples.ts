import { QuantoError } from '../tensor/error';
import { Tensor } from '../tensor/tensor';

/** One input of a model: the tensor, or the list of arguments, that its `forward` takes. */
export type Sample = Tensor | readonly unknown[];

/** Inputs of a model, as an array, a generator, or anything else that can be iterated, at once or asynchronously. They stay the caller's. */
export type Samples = Iterable<Sample> | AsyncIterable<Sample>;

/** The arguments of `forward`, sample by sample. */
export async function* argumentLists(op: string, samples: Samples): AsyncGenerator<readonly unknown[]> {
  const iterable = samples as Partial<Iterable<Sample> & AsyncIterable<Sample>> | null | undefined;
  if (samples instanceof Tensor || !(iterable?.[Symbol.asyncIterator] ?? iterable?.[Symbol.iterator])) {
    const came = samples instanceof Tensor ? 'one tensor; pass [tensor]' : `${typeof samples}; pass an array of tensors or argument lists`;
    throw new QuantoError('INVALID_ARGUMENT', `[${op}] expected samples that can be iterated but got ${came}`);
  }
  for await (const sample of samples) {
    if (!(sample instanceof Tensor) && !Array.isArray(sample)) {
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[${op}] expected each sample to be a tensor or an argument list but got ${String(sample)}`,
      );
    }
    yield sample instanceof Tensor ? [sample] : sample;
  }
}

/** Samples that can be gone through again and again: a function gives a new iterable each time. */
export type RepeatableSamples = Samples | (() => Samples);

/** The same for each of several passes; a generator, which ends for good, is refused at the second. */
export async function* everyPass(op: string, samples: RepeatableSamples): AsyncGenerator<readonly unknown[]> {
  let count = 0;
  for await (const args of argumentLists(op, typeof samples === 'function' ? samples() : samples)) {
    count++;
    yield args;
  }
  if (count > 0) return;
  throw new QuantoError(
    'INVALID_ARGUMENT',
    `[${op}] expected samples but got none; they are gone through once for each trial, so pass an array or a function that gives a new iterable`,
  );
}
