// The benchmarks themselves, without rivals and with next to no samples, so that they do not rot. No time is asserted.
import { benchmarks } from '../../benchmarks';
import { geometricMean, median, speedup } from '../../benchmarks/harness/compare';
import { runBenchmark } from '../../benchmarks/harness/run';
import { describe as describeResult } from '../../benchmarks/harness/table';

test('medians, means and speedups', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(geometricMean([1, 4])).toBeCloseTo(2, 12);
  const timing = (contestant: string, time: number) => ({ contestant, samples: [time], median: time, facts: {} });
  const result = { parameters: {}, timings: [timing('a', 2), timing('b', 6)], absent: {} };
  expect(speedup(result, 'a', 'b')).toBe(3);
  expect(speedup(result, 'a', 'c')).toBeNull();
});

test('every case of every benchmark names contestants that are there', () => {
  for (const { contestants, cases, ratios } of Object.values(benchmarks('/usr/bin/python3'))) {
    const names = contestants.map(({ name }) => name);
    expect(cases.length).toBeGreaterThan(0);
    for (const { workloads } of cases) expect(names).toEqual(expect.arrayContaining(Object.keys(workloads)));
    for (const { of, to } of ratios) expect(names).toEqual(expect.arrayContaining([of, to]));
  }
});

test.each(['linear', 'bert', 'conv', 'overhead'])('%s runs', async (name) => {
  const result = await runBenchmark(benchmarks()[name], { quick: true, rivals: false });
  expect(result.results.length).toBeGreaterThan(0);
  for (const { timings, absent } of result.results) {
    expect(absent).toEqual({});
    for (const { samples } of timings) expect(samples).toHaveLength(4);
  }
  expect(Object.keys(result.limits.peakGops)).not.toHaveLength(0);
  expect(describeResult(result)).toContain('quanto');
});
