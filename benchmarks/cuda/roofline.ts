// Rooflines (Williams et al. 2009): the rate that a case can reach is the card's rate of operations, or what its memory can feed.
import Table from 'cli-table3';

import { geometricMean, speedup } from '../harness/compare';
import type { BenchmarkResult } from '../harness/run';
import { label } from '../harness/run';
import { type Card, copyRate, type Product } from './card';
import { type CudaBenchmark, kinds } from './cases';

export interface Figure {
  readonly contestant: string;
  /** The type whose product is the limit. */
  readonly product: Product;
  /** Milliseconds. */
  readonly median: number;
  readonly tops: number;
  /** Share of the card's product. */
  readonly ofPeak: number;
  readonly gbs: number;
  /** Share of a copy of as many bytes. */
  readonly ofCopy: number;
  /** Share of the lower one of both limits at this case's operations a byte. */
  readonly ofRoofline: number;
}

/** The figures of one contestant in one case. */
export function figureOf(contestant: string, median: number, operations: number, bytes: number, card: Card, product: Product): Figure {
  const [tops, gbs] = [operations / median / 1e9, bytes / median / 1e6];
  const [ofPeak, ofCopy] = [tops / card.tops[product], gbs / copyRate(card, bytes)];
  return { contestant, product, median, tops, ofPeak, gbs, ofCopy, ofRoofline: Math.max(ofPeak, ofCopy) };
}

/** The figures of every contestant, case by case. */
export function figuresOf(benchmark: CudaBenchmark, results: BenchmarkResult['results'], card: Card): Figure[][] {
  const cases = new Map(benchmark.cases.map((item) => [label(item.parameters), item]));
  return results.map(({ parameters, timings }) => {
    const { operations, bytesOf } = cases.get(label(parameters))!;
    return timings.map(({ contestant, median }) => {
      const kind = kinds[contestant.slice(contestant.indexOf(' ') + 1)];
      return figureOf(contestant, median, operations, bytesOf(kind), card, kind.product);
    });
  });
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
const number = (value: number) => value.toPrecision(3);

/** The results as people read them: a table of figures, and the geometric means of the ratios. */
export function describeFigures(
  { name, summary, ratios }: CudaBenchmark,
  results: BenchmarkResult['results'],
  figures: readonly (readonly Figure[])[],
): string {
  const head = ['case', 'contestant', 'us', 'TOPS', 'of the product', 'GB/s', 'of the copy', 'of the roofline'];
  const table = new Table({ head: head.map((text) => text.replaceAll(' ', '\n')), style: { head: [], border: [], compact: true } });
  for (const [i, { parameters }] of results.entries()) {
    for (const { contestant, product, median, tops, ofPeak, gbs, ofCopy, ofRoofline } of figures[i]) {
      const limits = [number(tops), `${percent(ofPeak)} (${product})`, number(gbs), percent(ofCopy), percent(ofRoofline)];
      table.push([label(parameters), contestant.replace('quanto ', ''), (median * 1000).toFixed(1), ...limits]);
    }
  }
  const means = ratios.flatMap(({ of, to }) => {
    const values = results.flatMap((one) => speedup(one, of, to) ?? []);
    return values.length === 0 ? [] : [`speed of ${of} / ${to}: ${geometricMean(values).toFixed(2)} in the geometric mean`];
  });
  const absences = new Set(
    results.flatMap(({ absent }) => Object.entries(absent).map(([who, reason]) => `could not run: ${who}: ${reason}`)),
  );
  return [`${name}: ${summary}`, table.toString(), ...means, ...absences].join('\n');
}
