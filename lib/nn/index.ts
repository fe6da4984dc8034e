// Layers and models, under the names of torch.nn.
export { Parameter } from '../tensor/tensor';
export { GELU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Tanh } from './activation';
export { MultiheadAttention, type MultiheadAttentionCall, type MultiheadAttentionOptions } from './attention';
export { ModuleDict, ModuleList, Sequential } from './container';
export { Conv2d } from './conv';
export { Dropout } from './dropout';
export { Embedding } from './embedding';
export * as functional from './functional';
export { type ActivationName, type Followers, forwardThen, type Fusion } from './fusion';
export * as init from './init';
export type { LayerOptions } from './layer';
export { Linear } from './linear';
export { CrossEntropyLoss, MSELoss, NLLLoss } from './loss';
export { type AnyModule, type HookOptions, Module } from './module';
export { BatchNorm2d, LayerNorm, RMSNorm } from './norm';
export { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from './pool';
export { Flatten, Identity } from './shape';
export { LoadReport, type LoadResult, type StateDict } from './state-dict';
