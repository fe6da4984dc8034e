// The three models of the checkpoint fixtures, under the names of their state dicts.
import { nn, type Tensor } from '../../lib';

import { Mlp } from './mlp';

class ConvNet extends nn.Module {
  readonly conv1 = new nn.Conv2d(3, 32, 3, { padding: 1 });
  readonly conv2 = new nn.Conv2d(32, 16, 3, { stride: 2 });
  readonly fc = new nn.Linear(256, 10);

  forward(src: Tensor): Tensor {
    const features = this.conv2.forward(this.conv1.forward(src).relu()).relu();
    return this.fc.forward(features.flatten(1));
  }
}

const hidden = 256;
const heads = 4;
const headDim = 8;

class Attention extends nn.Module {
  readonly q = new nn.Linear(hidden, heads * headDim);
  readonly k = new nn.Linear(hidden, heads * headDim);
  readonly v = new nn.Linear(hidden, heads * headDim);
  readonly o = new nn.Linear(heads * headDim, hidden);

  forward(src: Tensor): Tensor {
    const [batch, length] = src.shape;
    const split = (projected: Tensor) => projected.view(batch, length, heads, headDim).transpose(1, 2);
    const [q, k, v] = [this.q, this.k, this.v].map((layer) => split(layer.forward(src)));
    const weights = q.matmul(k.transpose(-2, -1)).div(Math.sqrt(headDim)).softmax(-1);
    return this.o.forward(
      weights
        .matmul(v)
        .transpose(1, 2)
        .reshape(batch, length, heads * headDim),
    );
  }
}

class Block extends nn.Module {
  readonly ln1 = new nn.LayerNorm(hidden);
  readonly attn = new Attention();
  readonly ln2 = new nn.LayerNorm(hidden);
  readonly fc1 = new nn.Linear(hidden, 128);
  readonly fc2 = new nn.Linear(128, hidden);

  forward(src: Tensor): Tensor {
    const attended = src.add(this.attn.forward(this.ln1.forward(src)));
    return attended.add(this.fc2.forward(this.fc1.forward(this.ln2.forward(attended)).gelu()));
  }
}

class Encoder extends nn.Module {
  readonly blocks = new nn.ModuleList([new Block(), new Block()]);
  readonly norm = new nn.LayerNorm(hidden);
  readonly head = new nn.Linear(hidden, 12);

  forward(src: Tensor): Tensor {
    let current = src;
    for (const block of this.blocks) current = block.forward(current);
    return this.head.forward(this.norm.forward(current));
  }
}

export const fixtureModels: Readonly<Record<string, () => nn.Module>> = {
  mlp: () => new Mlp([48, 160, 192, 10]),
  convnet: () => new ConvNet(),
  encoder: () => new Encoder(),
};
