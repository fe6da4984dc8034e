// The public API of quanto.
export * as models from './models';
export * as nn from './nn';
export * as optim from './optim';

export * from './ops';
export { enableGrad, isGradEnabled, noGrad } from './tensor/grad-mode';
export {
  type Device,
  deviceInfo,
  deviceMemory,
  emptyCache,
  getNumThreads,
  isAvailable,
  loadBackend,
  memory,
  setNumThreads,
  synchronize,
} from './tensor/device';
export { type DType, dtypes, type TypedArray } from './tensor/dtype';
export { type ErrorCode, QuantoError } from './tensor/error';
export { getFloat32MatmulPrecision, type MatmulPrecision, setFloat32MatmulPrecision } from './tensor/matmul-precision';
export { keep, tidy } from './tensor/scope';
export { type NestedArray, Parameter, Tensor } from './tensor/tensor';
export {
  AbsmaxOptimizer,
  absmaxScale,
  type AffineOptimizer,
  fallbacks,
  HqqOptimizer,
  type HqqOptimizerOptions,
  MaxOptimizer,
  type MaxOptimizerOptions,
  QBitsTensor,
  QBytesTensor,
  qfloat8,
  qfloat8_e4m3fn,
  qfloat8_e4m3fnuz,
  qfloat8_e5m2,
  qint2,
  qint4,
  qint8,
  QTensor,
  QType,
  qtypes,
  quantizeActivation,
  quantizeWeight,
  type QuantizeWeightOptions,
  type ScaleAndShift,
  type ScaleOptimizer,
  type WeightOptimizer,
} from './qtensor';
export * from './io';
export * from './quantize';
export * from './report';
export { version } from './version';
