import { chartLibrary } from './chart-library';
import { pageScript } from './page-script';
import { pageStyle } from './page-style';
import type { Table } from './table';

/** One set of bars of a chart. */
export interface Series {
  readonly label: string;
  /** A bar for each label of the chart; null or a number that is not finite draws none. */
  readonly values: readonly (number | null)[];
  /** The values as the tooltip spells them, with their unit. */
  readonly texts: readonly string[];
}

/** A chart of horizontal bars. */
export interface Chart {
  readonly title: string;
  /** What the axis shows, with its unit. */
  readonly axis: string;
  /** How to read it, in a sentence. */
  readonly note: string;
  readonly labels: readonly string[];
  readonly series: readonly Series[];
  readonly scale: 'linear' | 'logarithmic';
}

/** What a page shows: facts, charts, and a table beside them. */
export interface Page {
  readonly title: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly note: string;
  readonly charts: readonly Chart[];
  readonly table: Table;
}

// More bars than this cannot be read, and a canvas has a largest height.
const MOST_BARS = 60;

export function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (character) => entities[character]);
}

/** JSON that cannot end the script element it stands in. */
export function escapeJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The first bars of a chart, which are the worst. */
function shortened(chart: Chart): Chart {
  const { labels, series } = chart;
  if (labels.length <= MOST_BARS) return chart;
  const cut = <T>(items: readonly T[]) => items.slice(0, MOST_BARS);
  return {
    ...chart,
    note: `${chart.note} The first ${MOST_BARS} of ${labels.length}; the table has all.`,
    labels: cut(labels),
    series: series.map(({ label, values, texts }) => ({ label, values: cut(values), texts: cut(texts) })),
  };
}

function figure({ title, note }: Chart, index: number): string {
  const [heading, text] = [escapeHtml(title), escapeHtml(note)];
  return `<figure>
<figcaption><h2>${heading}</h2><p>${text}</p></figcaption>
<div class="plot"><canvas id="chart-${index}" role="img" aria-label="${heading}. ${text} The table has the same numbers."></canvas></div>
</figure>`;
}

/** Dotted names may go on in a new line after a dot. */
function breakable(name: string): string {
  return name.replaceAll('.', '.<wbr>');
}

function htmlTable({ columns, rows }: Table): string {
  const head = columns.map(({ title, align }) => `<th scope="col" class="${align}">${escapeHtml(title)}</th>`).join('');
  const cell = (text: string, i: number) =>
    i === 0 ? `<th scope="row">${breakable(escapeHtml(text))}</th>` : `<td class="${columns[i].align}">${escapeHtml(text)}</td>`;
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n');
  return `<table>\n<thead><tr>${head}</tr></thead>\n<tbody>\n${body}\n</tbody>\n</table>`;
}

/**
 * A page in one piece: style, data, the library that draws and the script that calls it. Its policy forbids every request, so it shows the
 * same without a network.
 */
export function renderPage({ title, facts, note, charts, table }: Page): string {
  const shown = charts.map(shortened);
  const list = facts.map(([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`).join('');
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${pageStyle}</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
<dl>${list}</dl>
<p>${escapeHtml(note)}</p>
</header>
<main>
<section class="charts" aria-label="Plots">
${shown.map(figure).join('\n')}
</section>
<section class="numbers" aria-label="Numbers" tabindex="0">
${htmlTable(table)}
</section>
</main>
<script type="application/json" id="charts">${escapeJson(shown)}</script>
<script>${chartLibrary()}</script>
<script>${pageScript}</script>
</body>
</html>
`;
}
