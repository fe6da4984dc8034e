/** A column of a report's table. */
export interface Column {
  readonly title: string;
  /** Numbers stand right, text left. */
  readonly align: 'left' | 'right';
}

/** Rows of cells as they are shown, in text and in HTML alike. */
export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
}

// A name from a file must not move the cursor or colour the terminal.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Control characters as a question mark each. */
export function printable(text: string): string {
  return text.replace(CONTROL, '?');
}

/** Code points, each of which takes a place on most terminals. */
const width = (text: string): number => Array.from(text).length;

/** A table in plain text, in columns two spaces apart under a rule. */
export function printTable({ columns, rows }: Table): string {
  const cells = [columns.map(({ title }) => title), ...rows].map((row) => row.map(printable));
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => width(row[i]))));
  const pad = (text: string, i: number) => {
    const space = ' '.repeat(widths[i] - width(text));
    return columns[i].align === 'left' ? text + space : space + text;
  };
  const lines = cells.map((row) => row.map(pad).join('  ').trimEnd());
  lines.splice(1, 0, widths.map((width) => '─'.repeat(width)).join('  '));
  return lines.join('\n');
}
