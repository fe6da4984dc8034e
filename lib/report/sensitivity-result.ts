import type { QuantizationMap } from '../quantize';
import { QuantoError } from '../tensor/error';

import { bytes, significant } from './numbers';
import type { Chart, Page, Series } from './page';
import { Report } from './report';
import { printTable, type Table } from './table';

/** One module quantized alone, in a model that is float everywhere else. */
export interface Trial {
  /** Dotted name of the module; '' is the model itself. */
  readonly name: string;
  /** Class of the quantized module. */
  readonly type: string;
  /** What it was quantized to, as a map has it. */
  readonly qtypes: QuantizationMap[string];
  /** What the metric gave. */
  readonly metric: number;
  /** How much worse that is than the float model; below 0 where it is better, Infinity where it is not a number. */
  readonly loss: number;
  /** Bytes of parameters and buffers that quantizing this module saves. */
  readonly savedBytes: number;
}

/** Whether a small metric is good, as an error or a perplexity, or a large one, as an accuracy. */
export type Goal = 'minimize' | 'maximize';

const title = ({ name, type }: Trial): string => (name === '' ? `(${type})` : name);

/** The qtypes of weights and of activations; a map may say more of these than their usual type. */
function namesOf({ qtypes: { weights, ...others } }: Trial): { weights: string; activations: string } {
  const [first = 'none'] = Object.values(others).filter((name) => name !== 'none');
  return { weights, activations: first };
}

/** The same in short. */
function kind(trial: Trial): string {
  const { weights, activations } = namesOf(trial);
  if (activations === 'none') return weights;
  return weights === 'none' ? `activations ${activations}` : `${weights} x ${activations}`;
}

/** Whether two entries of maps say the same. */
function sameQTypes(a: QuantizationMap[string], b: QuantizationMap[string]): boolean {
  const text = (entry: QuantizationMap[string]) => JSON.stringify(Object.entries(entry).sort());
  return text(a) === text(b);
}

/** What `sensitivity` measured. */
export class Sensitivity extends Report {
  constructor(
    /** What the metric gives for the float model. */
    readonly baseline: number,
    readonly goal: Goal,
    /** Bytes of all parameters and buffers of the float model. */
    readonly floatBytes: number,
    /** In the order in which they ran. */
    readonly trials: readonly Trial[],
  ) {
    super();
  }

  /**
   * What a map of qtypes is expected to give: the bytes, and the sum of the losses of its modules, where a gain counts as 0. Losses need
   * not add up in truth; the metric of the quantized model tells.
   * @throws QuantoError INVALID_ARGUMENT where the map has a module or a qtype that was not tried
   */
  estimate(map: QuantizationMap): { bytes: number; loss: number } {
    let saved = 0;
    let loss = 0;
    for (const [name, qtypes] of Object.entries(map)) {
      const trial = this.trials.find((one) => one.name === name && sameQTypes(one.qtypes, qtypes));
      if (!trial) {
        throw new QuantoError(
          'INVALID_ARGUMENT',
          `[estimate] expected a module and qtypes that were tried but got '${name}' with ${JSON.stringify(qtypes)}`,
        );
      }
      saved += trial.savedBytes;
      loss += Math.max(0, trial.loss);
    }
    return { bytes: this.floatBytes - saved, loss };
  }

  private worstFirst(): Trial[] {
    return [...this.trials].sort((a, b) => (a.loss < b.loss ? 1 : a.loss > b.loss ? -1 : 0));
  }

  private table(): Table {
    return {
      columns: [
        { title: 'Module', align: 'left' },
        { title: 'Weights', align: 'left' },
        { title: 'Activations', align: 'left' },
        { title: 'Metric', align: 'right' },
        { title: 'Loss', align: 'right' },
        { title: 'Saved', align: 'right' },
        { title: 'Loss per MB saved', align: 'right' },
      ],
      rows: this.worstFirst().map((trial) => [
        title(trial),
        namesOf(trial).weights,
        namesOf(trial).activations,
        trial.metric.toPrecision(6),
        significant(trial.loss),
        bytes(trial.savedBytes),
        trial.savedBytes > 0 ? significant((1e6 * trial.loss) / trial.savedBytes) : '-',
      ]),
    };
  }

  private charts(): Chart[] {
    const trials = this.worstFirst();
    // Each module at the place of its worst trial.
    const modules = new Map(trials.map((trial) => [trial.name, title(trial)]));
    const kinds = [...new Set(this.trials.map(kind))];
    const series = (of: (trial: Trial) => number, format: (value: number) => string): Series[] =>
      kinds.map((label) => {
        const found = [...modules.keys()].map((name) => trials.find((trial) => trial.name === name && kind(trial) === label));
        return {
          label,
          values: found.map((trial) => (trial ? of(trial) : null)),
          texts: found.map((trial) => (trial ? format(of(trial)) : 'not tried')),
        };
      });
    const labels = [...modules.values()];
    return [
      {
        title: 'Loss of each module alone',
        axis: 'loss (unit of the metric)',
        note: 'Shorter is better; below 0 the quantized model is better than float.',
        labels,
        series: series(({ loss }) => loss, significant),
        scale: 'linear',
      },
      {
        title: 'Memory that it saves',
        axis: 'saved (kB)',
        note: 'Longer is better. Of parameters and buffers, 1 kB is 1000 bytes.',
        labels,
        series: series(
          ({ savedBytes }) => savedBytes / 1000,
          (value) => bytes(1000 * value),
        ),
        scale: 'linear',
      },
    ];
  }

  protected override page(): Page {
    return {
      title: 'What each module loses when it alone is quantized',
      facts: [
        ['Metric of the float model', this.baseline.toPrecision(6)],
        ['Goal', this.goal],
        ['Float model', bytes(this.floatBytes)],
        ['Trials', String(this.trials.length)],
      ],
      note: 'Each row is a model that is float but for one module. Sorted by the loss, the worst first.',
      charts: this.charts(),
      table: this.table(),
    };
  }

  /** A table with the worst trial first, and a line on the float model. */
  override toString(): string {
    return `${printTable(this.table())}\nfloat model: metric ${this.baseline.toPrecision(6)} (${this.goal}), ${bytes(this.floatBytes)}`;
  }
}
