// Quantized tensors: their types, how floats become codes, and how ops act on them.
import './rules';

export { fallbacks } from './fallbacks';
export { moduleGroupSize } from './grouping';
export {
  type AffineOptimizer,
  HqqOptimizer,
  type HqqOptimizerOptions,
  MaxOptimizer,
  type MaxOptimizerOptions,
  type ScaleAndShift,
  type ScaleOptimizer,
  type WeightOptimizer,
} from './optimizers';
export { type BitsLayout, QBitsTensor } from './qbits';
export { partKeys, type Producer, type QAxis, QBytesTensor, QTensor } from './qtensor';
export * from './qtype';
export {
  AbsmaxOptimizer,
  absmaxScale,
  isPackable,
  packCodes,
  packForGemm,
  quantizeActivation,
  quantizeTokens,
  quantizeWeight,
  requireActivationType,
  requireFitting,
  type QuantizeWeightOptions,
} from './quantizers';
export { sameScale } from './scale';
export { convolveIntegers, convolveWeightOnly, fusedLinear, isInt8Weight, quantizedOps } from './rules';
export { loadQTensor, saveQTensor } from './state';
