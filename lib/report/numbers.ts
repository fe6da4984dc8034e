// How reports spell numbers, in text and in HTML alike.

/** Decibels with two decimals. */
export function decibels(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : infinite(value);
}

/** A share from 0 to 1, in percent; '-' where there is none. */
export function percent(share: number | null): string {
  return share === null ? '-' : `${(100 * share).toFixed(2)} %`;
}

/** Six decimals: cosines are close to 1. */
export function cosine(value: number): string {
  return value.toFixed(6);
}

/** Three significant digits, without an exponent where that is short. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return infinite(value);
  if (value === 0) return '0';
  const magnitude = Math.abs(value);
  if (magnitude < 1e-4 || magnitude >= 1e6) return value.toExponential(2);
  return Number(value.toPrecision(3)).toString();
}

/** Bytes in units of 1000. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let scaled = value;
  for (; Math.abs(scaled) >= 1000 && unit < units.length - 1; unit++) scaled /= 1000;
  return `${unit === 0 ? scaled : scaled.toFixed(scaled < 10 ? 2 : 1)} ${units[unit]}`;
}

function infinite(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '∞' : '-∞';
}
