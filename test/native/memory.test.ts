// What memory() says, and what the process really holds.
import { join } from 'node:path';

import { add, full, ones, tensor, zeros } from '../../lib/ops';
import { emptyCache, memory, synchronize } from '../../lib/tensor/device';
import { keep, tidy } from '../../lib/tensor/scope';
import { childReport, sanitized } from '../harness/child';
import { settledMemory } from '../harness/memory';

const MiB = 2 ** 20;
const child = (name: string): string => join(__dirname, 'children', `${name}.ts`);

/** memory() relative to the moment of the call. */
function since(): () => { bytes: number; tensors: number } {
  const before = settledMemory();
  return () => {
    const { bytes, tensors } = memory();
    return { bytes: bytes - before.bytes, tensors: tensors - before.tensors };
  };
}

describe('memory()', () => {
  test('counts a tensor from its making to its disposal', () => {
    const change = since();
    const a = zeros([1024]);
    expect(change()).toEqual({ bytes: 4096, tensors: 1 });
    a.dispose();
    a.dispose();
    expect(change()).toEqual({ bytes: 0, tensors: 0 });
  });

  test('counts bytes once for all views of a storage, until the last one goes', () => {
    const change = since();
    const a = zeros([16, 16]);
    const view = a.transpose(0, 1);
    const part = view.slice(0, 0, 2);
    expect(change()).toEqual({ bytes: 1024, tensors: 3 });
    a.dispose();
    view.dispose();
    expect(change()).toEqual({ bytes: 1024, tensors: 1 });
    part.dispose();
    expect(change()).toEqual({ bytes: 0, tensors: 0 });
  });

  test('after tidy only the result and what was kept are left', () => {
    const change = since();
    let kept = zeros([1]);
    kept.dispose();
    const result = tidy(() => {
      const a = ones([256]);
      kept = keep(add(a, 1));
      return add(add(a, kept), 1);
    });
    synchronize();
    expect(change()).toEqual({ bytes: 2048, tensors: 2 });
    expect(result.dataSync()[0]).toBe(4);
    result.dispose();
    kept.dispose();
    expect(change()).toEqual({ bytes: 0, tensors: 0 });
  });

  test('a failing tidy leaves nothing', () => {
    const change = since();
    const failing = () =>
      tidy(() => {
        ones([256]);
        throw new Error('mine');
      });
    expect(failing).toThrow('mine');
    expect(change()).toEqual({ bytes: 0, tensors: 0 });
  });

  test('the peak is of memory taken at once', () => {
    const { peakBytes } = memory();
    const larger = full([Math.ceil(peakBytes / 4) + 1024], 1);
    synchronize();
    const now = memory().peakBytes;
    expect(now).toBeGreaterThanOrEqual(peakBytes + 4096);
    larger.dispose();
    full([1024], 1).dispose();
    synchronize();
    expect(memory().peakBytes).toBe(now);
  });

  test('freed memory is cached within bounds, and emptyCache gives it back', () => {
    emptyCache();
    expect(memory().cachedBytes).toBe(0);
    const blocks = Array.from({ length: 12 }, () => full([8 * MiB], 1));
    synchronize();
    const { bytes } = memory();
    for (const block of blocks) block.dispose();
    const { cachedBytes } = memory();
    expect(cachedBytes).toBeGreaterThan(0);
    expect(cachedBytes).toBeLessThanOrEqual(Math.max(256 * MiB, bytes));
    emptyCache();
    expect(memory().cachedBytes).toBe(0);
  });

  test('a tensor of nothing holds nothing', () => {
    const change = since();
    const empty = tensor([]);
    expect(change()).toEqual({ bytes: 0, tensors: 1 });
    empty.dispose();
  });
});

interface Usage {
  /** Largest resident memory in MiB. */
  rss: number;
  bytes: number;
  tensors: number;
}

// A sanitizer keeps freed memory for a while, and more than what is measured here.
const measured = sanitized ? test.skip : test;

describe('resident memory of a process that never yields or disposes', () => {
  // Limits in MiB; Node itself takes about 70.
  measured.each([
    ['tensors', 600],
    ['training', 600],
    ['handles', 200],
  ])('%s', async (kind, limit) => {
    const usage = await childReport<Usage>(child('memory-loop'), [kind]);
    expect(usage.rss).toBeLessThan(limit);
  });
});

measured('a model loaded, run and dropped 1,000 times ends where it began', async () => {
  const { early, late } = await childReport<{ early: Usage; late: Usage }>(child('memory-cycles'), [], {
    nodeOptions: ['--expose-gc'],
  });
  expect(late.bytes).toBe(early.bytes);
  expect(late.tensors).toBe(early.tensors);
  expect(late.rss).toBeLessThan(early.rss + 32);
});

measured('a process of little address space meets OUT_OF_MEMORY and goes on', async () => {
  const report = await childReport<{ code: string; later: number; written: number }>(child('memory-limit'), [], { addressSpace: 2560 });
  expect(report).toEqual({ code: 'OUT_OF_MEMORY', later: 3, written: 1 });
});
