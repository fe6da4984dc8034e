import type { Deviation } from './deviation';
import { cosine, decibels, percent, significant } from './numbers';
import type { Chart, Page, Series } from './page';
import { Report } from './report';
import { type Column, printTable, type Table } from './table';

/** How one quantized module differs from the float one of its name. */
export interface ModuleComparison {
  /** Dotted; '' is the model itself. */
  readonly name: string;
  /** Class of the quantized module. */
  readonly type: string;
  /** Names of the qtypes; 'none' is float. */
  readonly weights: string;
  readonly activations: string;
  /** How often the module ran, over all samples. */
  readonly calls: number;
  /** In the quantized model, with the errors of all modules before it; null where the module never ran. */
  readonly accumulated: Deviation | null;
  /** On the float model's input: this module's own error. */
  readonly alone: Deviation | null;
}

const right = (title: string): Column => ({ title, align: 'right' });
const columns: readonly Column[] = [
  { title: 'Module', align: 'left' },
  { title: 'Weights', align: 'left' },
  { title: 'Activations', align: 'left' },
  right('SQNR alone, dB'),
  right('SQNR accum., dB'),
  right('Cosine alone'),
  right('Cosine accum.'),
  right('Max. error alone'),
  right('Max. error accum.'),
  right('Saturated in'),
  right('Saturated out'),
];

const title = ({ name, type }: ModuleComparison): string => (name === '' ? `(${type})` : name);

/** Modules that hurt most first: by their own noise; what is not a number leads, what never ran comes last. */
function worstFirst(modules: readonly ModuleComparison[]): ModuleComparison[] {
  const rank = ({ alone }: ModuleComparison) => (!alone ? Infinity : Number.isNaN(alone.sqnr) ? -Infinity : alone.sqnr);
  return [...modules].sort((a, b) => (rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : Number(!a.alone) - Number(!b.alone)));
}

/** What `compare` measured. */
export class Comparison extends Report {
  constructor(
    /** Every quantized module, in the model's order. */
    readonly modules: readonly ModuleComparison[],
    /** The model's output; its saturation is null. */
    readonly output: Deviation,
    /** How many samples were compared. */
    readonly samples: number,
  ) {
    super();
  }

  private table(): Table {
    const cells = ({ accumulated, alone }: ModuleComparison) => {
      const both = (format: (deviation: Deviation) => string) => [alone, accumulated].map((side) => (side ? format(side) : '-'));
      const saturation = accumulated?.saturation ?? { input: null, output: null };
      return [
        ...both(({ sqnr }) => decibels(sqnr)),
        ...both((side) => cosine(side.cosine)),
        ...both(({ maxError }) => significant(maxError)),
        percent(saturation.input),
        percent(saturation.output),
      ];
    };
    return { columns, rows: worstFirst(this.modules).map((row) => [title(row), row.weights, row.activations, ...cells(row)]) };
  }

  private facts(): [string, string][] {
    const { sqnr, cosine: angle, maxError } = this.output;
    return [
      ['SQNR of the output', `${decibels(sqnr)} dB`],
      ['Cosine of the output', cosine(angle)],
      ['Largest error of the output', significant(maxError)],
      ['Quantized modules', String(this.modules.length)],
      ['Samples', String(this.samples)],
    ];
  }

  private charts(): Chart[] {
    const modules = worstFirst(this.modules);
    const labels = modules.map(title);
    const series = (
      label: string,
      format: (value: number) => string,
      of: (module: ModuleComparison) => number | null | undefined,
    ): Series => {
      const values = modules.map((module) => of(module) ?? null);
      return { label, values, texts: values.map((value) => (value === null ? 'not measured' : format(value))) };
    };
    const pair = (format: (value: number) => string, of: (deviation: Deviation) => number): Series[] => [
      series('alone', format, ({ alone }) => alone && of(alone)),
      series('accumulated', format, ({ accumulated }) => accumulated && of(accumulated)),
    ];
    const isExact = modules.some(({ alone, accumulated }) => [alone, accumulated].some((side) => side?.sqnr === Infinity));
    const charts: Chart[] = [
      {
        title: 'Signal to quantization noise',
        axis: 'SQNR (dB)',
        note: `Longer is better; 6 dB are about one bit. The worst module comes first.${isExact ? ' ∞, where nothing differs, has no bar.' : ''}`,
        labels,
        series: pair(
          (value) => `${decibels(value)} dB`,
          ({ sqnr }) => sqnr,
        ),
        scale: 'linear',
      },
      {
        title: 'Change of direction',
        axis: '1 - cosine (logarithmic)',
        note: 'Shorter is better; 0 is the same direction.',
        labels,
        series: pair(significant, (deviation) => Math.max(0, 1 - deviation.cosine)).map(withoutZeros),
        scale: 'logarithmic',
      },
      {
        title: 'Largest error',
        axis: 'largest absolute difference (unit of the output)',
        note: 'Shorter is better; compare it with the values of that output.',
        labels,
        series: pair(significant, ({ maxError }) => maxError),
        scale: 'linear',
      },
    ];
    const saturation = (['input', 'output'] as const).map((side) =>
      series(side, percent, ({ accumulated }) => accumulated?.saturation[side]),
    );
    if (saturation.some(({ values }) => values.some((value) => value !== null))) {
      charts.push({
        title: 'Saturated activation codes',
        axis: 'share of all codes (%)',
        note: 'Codes at an end of their range, in the quantized model: many of them say that the calibrated range is too small.',
        labels,
        series: saturation.map((item) => ({ ...item, values: item.values.map((value) => value && 100 * value) })),
        scale: 'linear',
      });
    }
    return charts;
  }

  protected override page(): Page {
    return {
      title: 'Quantized against float, module by module',
      facts: this.facts(),
      note:
        "Alone: each quantized module on the float model's input, so its own error. Accumulated: in the quantized model, with the errors of " +
        'all modules before it. Sorted by the noise of each module alone, the worst first.',
      charts: this.charts(),
      table: this.table(),
    };
  }

  /** A table with the worst module first, and a line on the model's output. */
  override toString(): string {
    const [sqnr, angle, error, , samples] = this.facts().map(([, value]) => value);
    return `${printTable(this.table())}\noutput: SQNR ${sqnr}, cosine ${angle}, largest error ${error}; samples: ${samples}`;
  }
}

/** A logarithmic axis has no place for 0. */
function withoutZeros(series: Series): Series {
  return { ...series, values: series.values.map((value) => (value === 0 ? null : value)) };
}
