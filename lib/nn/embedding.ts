import { embedding } from '../ops/indexing';
import { randn } from '../ops/random';
import type { Tensor } from '../tensor/tensor';

import { type LayerOptions, parameter, requireLayerDType, requireSizes } from './layer';
import { Module } from './module';

/** A row of a table for each index: int64 [...] -> [..., embeddingDim]. The weight [numEmbeddings, embeddingDim] starts standard normal. */
export class Embedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  weight: Tensor;

  constructor(numEmbeddings: number, embeddingDim: number, options: LayerOptions = {}) {
    super();
    requireSizes('Embedding', { numEmbeddings, embeddingDim });
    requireLayerDType('Embedding', options);
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.weight = parameter(randn([numEmbeddings, embeddingDim], { dtype: options.dtype, device: options.device }));
  }

  forward(index: Tensor): Tensor {
    return embedding(index, this.weight);
  }

  protected override extraRepr(): string {
    return `${this.numEmbeddings}, ${this.embeddingDim}`;
  }
}
