import { setImmediate as nextTurn } from 'node:timers/promises';

// About a millisecond of arithmetic; then timers and I/O have their turn.
const CHUNK = 2 ** 19;

/** How far quantized values are from the float ones, over all samples. */
export interface Deviation {
  /**
   * Signal-to-quantization-noise ratio in decibels: 10 log10 (sum of squared float values / sum of squared differences). Infinity where no
   * value differs; 6 dB are about one bit.
   */
  readonly sqnr: number;
  /** Cosine of the angle between the two, as vectors of all values: 1 is the same direction. */
  readonly cosine: number;
  /** The largest absolute difference. */
  readonly maxError: number;
  /** Share of activation codes at an end of their range, from 0 to 1; null where the activation is not quantized. */
  readonly saturation: { readonly input: number | null; readonly output: number | null };
}

/** How many codes stand at an end of their range, of how many. */
export interface CodeCount {
  readonly saturated: number;
  readonly codes: number;
}

/** Adds up a deviation in double precision. */
export class DeviationMeter {
  private signal = 0;
  private power = 0;
  private product = 0;
  private noise = 0;
  private maxError = 0;
  private readonly counts = { input: { saturated: 0, codes: 0 }, output: { saturated: 0, codes: 0 } };

  /** Adds values of one shape. The event loop gets its turns where they are many. */
  async add(reference: ArrayLike<number>, values: ArrayLike<number>): Promise<void> {
    for (let start = 0; start < reference.length; start += CHUNK) {
      if (start > 0) await nextTurn();
      this.addRange(reference, values, start, Math.min(start + CHUNK, reference.length));
    }
  }

  private addRange(reference: ArrayLike<number>, values: ArrayLike<number>, start: number, end: number): void {
    let { signal, power, product, noise, maxError } = this;
    for (let i = start; i < end; i++) {
      const difference = values[i] - reference[i];
      signal += reference[i] * reference[i];
      power += values[i] * values[i];
      product += reference[i] * values[i];
      noise += difference * difference;
      // Math.max passes NaN on.
      maxError = Math.max(maxError, Math.abs(difference));
    }
    Object.assign(this, { signal, power, product, noise, maxError });
  }

  addCodes(side: 'input' | 'output', { saturated, codes }: CodeCount): void {
    this.counts[side].saturated += saturated;
    this.counts[side].codes += codes;
  }

  get result(): Deviation {
    const { signal, power, product, noise, maxError, counts } = this;
    const share = ({ saturated, codes }: CodeCount) => (codes === 0 ? null : saturated / codes);
    return {
      sqnr: noise === 0 ? Infinity : 10 * Math.log10(signal / noise),
      cosine: signal === 0 && power === 0 ? 1 : signal === 0 || power === 0 ? 0 : product / Math.sqrt(signal * power),
      maxError,
      saturation: { input: share(counts.input), output: share(counts.output) },
    };
  }
}
