import { setTimeout } from 'node:timers/promises';

import { tensor } from '../../lib/ops';
import { enableGrad, isGradEnabled, noGrad, recordsGradient } from '../../lib/tensor/grad-mode';

const recorded = () => tensor([1], { requiresGrad: true }).mul(2).requiresGrad;

test('ops record unless noGrad says otherwise, and enableGrad says so again', () => {
  expect(recorded()).toBe(true);
  expect(noGrad(recorded)).toBe(false);
  expect(noGrad(() => enableGrad(recorded))).toBe(true);
  expect(noGrad(() => [recorded(), enableGrad(isGradEnabled), recorded()])).toEqual([false, true, false]);
  expect(recorded()).toBe(true);
});

test('operands are recorded where one of them needs a gradient', () => {
  const [leaf, plain] = [tensor([1], { requiresGrad: true }), tensor([1])];
  expect(recordsGradient([plain, null, leaf])).toBe(true);
  expect(recordsGradient([plain, undefined])).toBe(false);
  expect(recordsGradient([])).toBe(false);
  expect(noGrad(() => recordsGradient([leaf]))).toBe(false);
});

test('an error inside ends the scope', () => {
  expect(() => noGrad(() => { throw new RangeError('mine'); })).toThrow('mine'); // prettier-ignore
  expect(isGradEnabled()).toBe(true);
});

test('noGrad follows an async function over its awaits, and nothing else', async () => {
  let outside = false;
  const inside = noGrad(async () => {
    const first = isGradEnabled();
    await setTimeout(5);
    outside = true;
    await setTimeout(5);
    return [first, isGradEnabled()];
  });
  // The caller goes on while the function above waits.
  expect(isGradEnabled()).toBe(true);
  while (!outside) {
    expect(recorded()).toBe(true);
    await setTimeout(1);
  }
  expect(await inside).toEqual([false, false]);
  expect(isGradEnabled()).toBe(true);
});

test('concurrent async callers do not see each other', async () => {
  const watch = (mode: typeof noGrad, wanted: boolean, delay: number) =>
    mode(async () => {
      for (let i = 0; i < 20; i++) {
        await setTimeout(delay);
        if (isGradEnabled() !== wanted || recorded() !== wanted) return `wrong at ${i}`;
      }
      return 'right';
    });
  const runs = [watch(noGrad, false, 1), watch(enableGrad, true, 2), watch(noGrad, false, 3), watch(enableGrad, true, 1)];
  expect(await Promise.all(runs)).toEqual(['right', 'right', 'right', 'right']);
});

test('a rejected async function ends its scope', async () => {
  await expect(noGrad(async () => Promise.reject(new RangeError('mine')))).rejects.toThrow('mine');
  expect(isGradEnabled()).toBe(true);
});
