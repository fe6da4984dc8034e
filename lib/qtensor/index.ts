// Quantized tensors: their types, how floats become codes, and how ops act on them.
import './rules';

export { fallbacks } from './fallbacks';
export { QBytesTensor, QTensor, type QAxis } from './qtensor';
export * from './qtype';
export { AbsmaxOptimizer, absmaxScale, quantizeActivation, quantizeWeight, type QuantizeWeightOptions, type ScaleOptimizer } from './quantizers';
export { quantizedOps } from './rules';
