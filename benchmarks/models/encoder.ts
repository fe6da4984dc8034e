import { nn, type Tensor, tidy } from 'quanto';

export interface EncoderShape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly intermediate: number;
}

/** One layer of BERT (Devlin et al. 2018): self-attention and a feed-forward network, each followed by a norm. */
class EncoderLayer extends nn.Module {
  query: nn.Linear;
  key: nn.Linear;
  value: nn.Linear;
  output: nn.Linear;
  attentionNorm: nn.LayerNorm;
  up: nn.Linear;
  down: nn.Linear;
  norm: nn.LayerNorm;

  constructor(
    hidden: number,
    private readonly heads: number,
    intermediate: number,
  ) {
    super();
    const square = () => new nn.Linear(hidden, hidden);
    this.query = square();
    this.key = square();
    this.value = square();
    this.output = square();
    this.attentionNorm = new nn.LayerNorm(hidden, { eps: 1e-12 });
    this.up = new nn.Linear(hidden, intermediate);
    this.down = new nn.Linear(intermediate, hidden);
    this.norm = new nn.LayerNorm(hidden, { eps: 1e-12 });
  }

  forward(x: Tensor): Tensor {
    return tidy(() => {
      const [batch, length, hidden] = x.shape;
      const split = (projected: Tensor) => projected.reshape(batch, length, this.heads, hidden / this.heads).permute(0, 2, 1, 3);
      const [q, k, v] = [this.query, this.key, this.value].map((linear) => split(linear.forward(x)));
      const attended = nn.functional.scaledDotProductAttention(q, k, v);
      const joined = attended.permute(0, 2, 1, 3).reshape(batch, length, hidden);
      const attention = this.attentionNorm.forward(x.add(this.output.forward(joined)));
      const [rise] = this.fusions();
      const fed = this.down.forward(nn.forwardThen(this.up, attention, rise));
      return this.norm.forward(attention.add(fed));
    });
  }

  override fusions(): readonly nn.Fusion[] {
    return [{ layer: this.up, activation: 'gelu', readers: [this.down] }];
  }
}

/** A BERT encoder without embeddings: [batch, length, hidden] -> the same. */
export class Encoder extends nn.Module {
  layers: nn.ModuleList;

  constructor({ layers, hidden, heads, intermediate }: EncoderShape) {
    super();
    this.layers = new nn.ModuleList(Array.from({ length: layers }, () => new EncoderLayer(hidden, heads, intermediate)));
  }

  forward(x: Tensor): Tensor {
    return tidy(() => [...this.layers.children()].reduce((hidden, layer) => (layer as EncoderLayer).forward(hidden), x));
  }
}
