import { mul, sub, add } from '../ops/binary';
import { tensor } from '../ops/creation';
import { to } from '../ops/convert';
import { cat, flatten, reshape, select, slice, stack } from '../ops/shape';
import { noGrad } from '../tensor/grad-mode';
import { keep, tidy } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';

interface Tables {
  /** [positions, dim / 2]: cosine and sine of the angle of each pair. */
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * Rotary position embedding (Su et al. 2021): pair i of a head turns by position * theta^(-2i / dim). Pairs are neighbours (interleaved,
 * as in Meta's checkpoints) or lie half a head apart (as in Hugging Face's).
 */
export class RotaryEmbedding {
  private readonly tables = new Map<string, Tables>();
  private positions = 64;

  constructor(
    private readonly dim: number,
    private readonly theta: number,
    private readonly interleaved: boolean,
  ) {}

  /** src [..., L, dim], whose first row stands at position `start`. */
  apply(src: Tensor, start: number): Tensor {
    const length = src.shape[src.ndim - 2];
    const { cos, sin } = this.tablesFor(src, start + length);
    return tidy(() => {
      const [c, s] = [cos, sin].map((table) => slice(table, 0, start, start + length));
      const [a, b] = this.interleaved ? this.neighbours(src) : this.halves(src);
      const turned = [sub(mul(a, c), mul(b, s)), add(mul(a, s), mul(b, c))];
      return this.interleaved ? flatten(stack(turned, -1), -2) : cat(turned, -1);
    });
  }

  private neighbours(src: Tensor): [Tensor, Tensor] {
    const pairs = reshape(src, [...src.shape.slice(0, -1), this.dim / 2, 2]);
    return [select(pairs, -1, 0), select(pairs, -1, 1)];
  }

  private halves(src: Tensor): [Tensor, Tensor] {
    return [slice(src, -1, 0, this.dim / 2), slice(src, -1, this.dim / 2)];
  }

  /** Tables of at least so many positions, on the tensor's device and in its dtype. */
  private tablesFor({ device, dtype }: Tensor, positions: number): Tables {
    if (positions > this.positions) {
      while (positions > this.positions) this.positions *= 2;
      this.dispose();
    }
    const key = `${device} ${dtype}`;
    let tables = this.tables.get(key);
    if (!tables) {
      const table = (f: (angle: number) => number) => noGrad(() => keep(to(to(this.table(f), dtype), device)));
      tables = { cos: table(Math.cos), sin: table(Math.sin) };
      this.tables.set(key, tables);
    }
    return tables;
  }

  private table(f: (angle: number) => number): Tensor {
    const pairs = this.dim / 2;
    const frequencies = Array.from({ length: pairs }, (_, i) => this.theta ** (-i / pairs));
    const values = Float32Array.from({ length: this.positions * pairs }, (_, i) => f(Math.floor(i / pairs) * frequencies[i % pairs]));
    return tensor(values, { shape: [this.positions, pairs] });
  }

  dispose(): void {
    for (const { cos, sin } of this.tables.values()) {
      cos.dispose();
      sin.dispose();
    }
    this.tables.clear();
  }
}
