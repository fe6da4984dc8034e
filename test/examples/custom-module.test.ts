import { runExample } from './run';

test('a module of the user is quantized like the built-in ones', async () => {
  const { code, stdout, stderr } = await runExample('custom-module.ts');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain('(0): QGatedLinear(weights=qint8, activations=qint8)');
  const [, difference, largest] = /largest difference ([\d.]+), largest output ([\d.]+)/.exec(stdout)!.map(Number);
  expect(difference).toBeGreaterThan(0);
  expect(difference).toBeLessThan(0.05 * largest);
});
