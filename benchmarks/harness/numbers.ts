/** Uniform numbers in [-1, 1) that every contestant makes alike (mulberry32), so that all compute on the same data. */
export function uniform(count: number, seed: number, scale = 1): Float32Array {
  const out = new Float32Array(count);
  let state = seed >>> 0;
  for (let i = 0; i < count; i++) {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    out[i] = (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * scale;
  }
  return out;
}

/** Integer labels from 0 to classes - 1. */
export function labels(count: number, classes: number, seed: number): Int32Array {
  return Int32Array.from(uniform(count, seed), (value) => Math.min(classes - 1, Math.floor(((value + 1) / 2) * classes)));
}
