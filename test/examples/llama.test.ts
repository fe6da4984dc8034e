import { runExample } from './run';

test('a small Llama learns, loses little by quantization, and writes', async () => {
  const { code, stdout, stderr } = await runExample('llama.ts');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [float, weights, both] = [...stdout.matchAll(/^perplexity .*: +([\d.]+)$/gm)].map(([, value]) => Number(value));
  // Of 256 bytes about 90 occur; a model that knew only how often each does would hesitate between 27.
  expect(float).toBeLessThan(18);
  expect(Math.abs(weights - float)).toBeLessThan(0.02 * float);
  expect(Math.abs(both - float)).toBeLessThan(0.05 * float);
  expect(stdout).toMatch(/^the frozen model writes: "The tensor .{20,}"$/m);
}, 300_000);
