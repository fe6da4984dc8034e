// Quantized tensors: their types, how floats become codes, and how ops act on them.
import './rules';

export { fallbacks } from './fallbacks';
export { partKeys, type Producer, type QAxis, QBytesTensor, QTensor } from './qtensor';
export * from './qtype';
export {
  AbsmaxOptimizer,
  absmaxScale,
  isPackable,
  packCodes,
  packForGemm,
  quantizeActivation,
  quantizeWeight,
  requireAvailable,
  type QuantizeWeightOptions,
  type ScaleOptimizer,
} from './quantizers';
export { convolveIntegers, fusedLinear, isInt8Weight, quantizedOps } from './rules';
export { loadQTensor, saveQTensor } from './state';
