import Table from 'cli-table3';
import type { Figures } from './measure';
import { seconds } from './progress';

/** One row of the table: a model after a step of the workflow. */
export interface Step extends Figures {
  name: 'float' | 'quantized' | 'calibrated' | 'tuned' | 'frozen' | 'loaded';
  /** Time of the step itself, without the measuring. */
  milliseconds: number;
  /** Size of the safetensors file of the model's state. */
  fileBytes: number;
}

/** What a run must reach; losses are in percentage points of the float model's accuracy. */
export interface Targets {
  floatAccuracy: number;
  calibratedLoss: number;
  tunedLoss: number;
}

export interface Check {
  passed: boolean;
  text: string;
}

/** What is done in each step, and what the model is then. */
export const descriptions: Record<Step['name'], { action: string; result: string }> = {
  float: { action: 'Train in float32', result: 'float32, trained' },
  quantized: { action: 'Quantize', result: 'quantized (weights int8)' },
  calibrated: { action: 'Calibrate', result: 'calibrated (activations int8)' },
  tuned: { action: 'Tune', result: 'tuned for one epoch' },
  frozen: { action: 'Freeze', result: 'frozen' },
  loaded: { action: 'Save, and load in a new process', result: 'loaded in a new process' },
};

export const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
const points = (difference: number) => (difference >= 0 ? '+' : '') + (100 * difference).toFixed(2);
const kilobytes = (bytes: number) => `${Math.round(bytes / 1000).toLocaleString('en')} kB`;

export function table(steps: readonly Step[], batchSize: number): string {
  const rows = new Table({
    head: ['Model', 'Test accuracy', 'vs. float', 'File size', 'Memory', `Per batch of ${batchSize}`, 'Step took'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const step of steps) {
    rows.push([
      descriptions[step.name].result,
      percent(step.accuracy),
      step.name === 'float' ? '' : points(step.accuracy - steps[0].accuracy),
      kilobytes(step.fileBytes),
      kilobytes(step.memoryBytes),
      `${step.msPerBatch.toFixed(2)} ms`,
      seconds(step.milliseconds),
    ]);
  }
  return [
    rows.toString(),
    'vs. float: percentage points. File size: the state dict as safetensors; 1 kB is 1000 bytes.',
    'Memory: all live tensors of the model, as memory() counts them. Per batch: forward and reading the logits, median of many runs.',
    'Until a model is frozen it keeps its float weights, and beside them, in evaluation, the integer ones made from them.',
  ].join('\n');
}

/** Whether the run reached its targets, one sentence for each. */
export function check(steps: readonly Step[], targets: Targets): Check[] {
  const of = (name: Step['name']) => steps.find((step) => step.name === name)!;
  const float = of('float');
  const near = (name: 'calibrated' | 'tuned', limit: number): Check => {
    const loss = 100 * (float.accuracy - of(name).accuracy);
    return {
      // Accuracies are multiples of one image; the difference of two such numbers may be off by a rounding.
      passed: loss <= limit + 1e-9,
      text: `The ${name} model is within ${limit.toFixed(1)} points of float: ${percent(of(name).accuracy)} against ${percent(float.accuracy)}.`,
    };
  };
  return [
    {
      passed: 100 * float.accuracy >= targets.floatAccuracy,
      text: `The float model recognizes at least ${targets.floatAccuracy} % of the test images: ${percent(float.accuracy)}.`,
    },
    near('calibrated', targets.calibratedLoss),
    near('tuned', targets.tunedLoss),
    {
      passed: of('loaded').logitsHash === of('frozen').logitsHash,
      text: 'The model loaded in a new process gives the outputs of the frozen one bit for bit.',
    },
  ];
}
