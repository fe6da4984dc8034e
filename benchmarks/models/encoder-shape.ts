import type { EncoderShape } from './encoder';

/** MiniLM-L6 (Wang et al. 2020). */
export const encoderShape: EncoderShape = { layers: 6, hidden: 384, heads: 12, intermediate: 1536 };

/** Multiply-adds of the linear layers for one token, each counted as two. */
export function linearOperations({ layers, hidden, intermediate }: EncoderShape): number {
  return layers * 2 * (4 * hidden * hidden + 2 * hidden * intermediate);
}
