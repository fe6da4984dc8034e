import { check, type Step, table } from '../../../examples/mnist/report';

const targets = { floatAccuracy: 98, calibratedLoss: 0.5, tunedLoss: 0.2 };
const names = ['float', 'quantized', 'calibrated', 'tuned', 'frozen', 'loaded'] as const;

function steps(accuracies: Partial<Record<Step['name'], number>> = {}, loadedHash = 'abc'): Step[] {
  return names.map((name) => ({
    name,
    accuracy: accuracies[name] ?? 0.9852,
    logitsHash: name === 'loaded' ? loadedHash : 'abc',
    memoryBytes: 545_960,
    fileBytes: 2_144_000,
    msPerBatch: 0.75,
    milliseconds: 1234,
  }));
}

const failures = (run: Step[]) =>
  check(run, targets)
    .filter(({ passed }) => !passed)
    .map(({ text }) => text);

test('a run that just reaches every target passes', () => {
  expect(failures(steps({ float: 0.98, calibrated: 0.975, tuned: 0.978 }))).toEqual([]);
});

test.each([
  [steps({ float: 0.9799, calibrated: 0.98, tuned: 0.98 }), 'The float model recognizes at least 98 % of the test images: 97.99 %.'],
  [steps({ calibrated: 0.9801 }), 'The calibrated model is within 0.5 points of float: 98.01 % against 98.52 %.'],
  [steps({ tuned: 0.9831 }), 'The tuned model is within 0.2 points of float: 98.31 % against 98.52 %.'],
  [steps({}, 'abd'), 'The model loaded in a new process gives the outputs of the frozen one bit for bit.'],
])('a missed target is named (%#)', (run, sentence) => {
  expect(failures(run)).toEqual([sentence]);
});

test('the table has one row for each step, with units', () => {
  const lines = table(steps({ tuned: 0.9831 }), 128).split('\n');
  expect(lines.find((line) => line.includes('tuned'))).toMatch(/98\.31 % .* -0\.21 .* 2,144 kB .* 546 kB .* 0\.75 ms .* 1\.2 s/);
  expect(lines.filter((line) => line.includes('kB │'))).toHaveLength(names.length);
});
