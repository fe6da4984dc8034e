import { ones, type Tensor } from '../../lib';
import { argumentLists, everyPass, type RepeatableSamples, type Samples } from '../../lib/report/samples';
import { coded } from '../harness/errors';

const [a, b] = [ones([1]), ones([2])];

async function collect(lists: AsyncGenerator<readonly unknown[]>): Promise<unknown[][]> {
  const found: unknown[][] = [];
  for await (const args of lists) found.push([...args]);
  return found;
}

function* generator(): Generator<Tensor> {
  yield a;
  yield b;
}
async function* asyncGenerator(): AsyncGenerator<Tensor> {
  yield a;
  yield b;
}

test.each<[string, () => Samples]>([
  ['an array of tensors', () => [a, b]],
  ['argument lists', () => [[a], [b]]],
  ['a Set', () => new Set([a, b])],
  ['a generator', generator],
  ['an async generator', asyncGenerator],
])('%s', async (_, samples) => {
  expect(await collect(argumentLists('test', samples()))).toEqual([[a], [b]]);
});

test('an argument list may hold anything', async () => {
  expect(await collect(argumentLists('test', [[a, 3, null], []]))).toEqual([[a, 3, null], []]);
});

test.each<[unknown, RegExp]>([
  [a, /one tensor; pass \[tensor\]/],
  [null, /pass an array/],
  [3, /number; pass an array/],
  [[[a], 5], /each sample .* got 5/],
])('samples that are none (%#)', async (samples, message) => {
  await expect(collect(argumentLists('test', samples as Samples))).rejects.toEqual(coded('INVALID_ARGUMENT', message));
});

test('several passes', async () => {
  const passes: [RepeatableSamples, boolean][] = [
    [[a, b], true],
    [() => generator(), true],
    [generator(), false],
  ];
  for (const [samples, repeats] of passes) {
    expect(await collect(everyPass('test', samples))).toEqual([[a], [b]]);
    const second = collect(everyPass('test', samples));
    if (repeats) expect(await second).toEqual([[a], [b]]);
    else await expect(second).rejects.toEqual(coded('INVALID_ARGUMENT', /once for each trial/));
  }
});
