const counts = new Map<string, number>();

/** @internal Notes that an op ran on dequantized values because no rule covers it. */
export function countFallback(op: string): void {
  counts.set(op, (counts.get(op) ?? 0) + 1);
}

/** How often each op ran in float on quantized operands, since the start or the last reset. */
export function fallbacks(options: { reset?: boolean } = {}): Record<string, number> {
  const result = Object.fromEntries(counts);
  if (options.reset === true) counts.clear();
  return result;
}
