/** Numbers in [0, 1) that a text fixes, so that a case has the same inputs wherever and in whatever order it runs. */
export function seededRandom(seed: string): () => number {
  let state = 2166136261; // FNV-1a
  for (const character of seed) state = Math.imul(state ^ character.charCodeAt(0), 16777619);
  // Tommy Ettinger's mulberry32.
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How one number of an input is drawn. */
export type Domain = (random: () => number) => number;

export const uniform =
  (low: number, high: number): Domain =>
  (random) =>
    low + (high - low) * random();

/** Irwin and Hall's sum of uniforms: close to a standard normal, within [-6, 6]. */
export const normal: Domain = (random) => {
  let sum = -6;
  for (let i = 0; i < 12; i++) sum += random();
  return sum;
};

/** Integers from low to high, both included. */
export const integers =
  (low: number, high: number): Domain =>
  (random) =>
    low + Math.floor((high - low + 1) * random());

export const oneOf =
  (...values: number[]): Domain =>
  (random) =>
    values[Math.floor(values.length * random())];

/** Numbers of a domain that keep a distance from the places where a function has no derivative. */
export const apart =
  (domain: Domain, ...kinks: number[]): Domain =>
  (random) => {
    for (;;) {
      const value = domain(random);
      if (kinks.every((kink) => Math.abs(value - kink) > 0.01)) return value;
    }
  };
