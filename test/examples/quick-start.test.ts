import { runExample } from './run';

test('the quick start learns, and loses little by quantization', async () => {
  const { code, stdout, stderr } = await runExample('quick-start.ts');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const errors = Object.fromEntries(
    [...stdout.matchAll(/^(\w+): +mean squared error ([\d.e-]+)/gm)].map(([, step, error]) => [step, Number(error)]),
  );
  expect(Object.keys(errors)).toEqual(['float', 'calibrated', 'tuned', 'loaded']);
  // The targets have a mean square of about 0.75.
  expect(errors.float).toBeLessThan(0.005);
  expect(errors.calibrated).toBeLessThan(0.01);
  expect(errors.tuned).toBeLessThan(0.01);
  expect(errors.loaded).toBe(errors.tuned);
});
