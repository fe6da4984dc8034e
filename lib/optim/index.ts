// Optimizers, under the names of torch.optim.
export { Adadelta, type AdadeltaOptions } from './adadelta';
export { Adam, AdamW, type AdamOptions } from './adam';
export { clipGradNorm } from './clip';
export { Optimizer, type OptimizerState, type ParamGroup, type Params, type ParamState } from './optimizer';
export { CosineAnnealingLR, StepLR } from './schedulers';
export { SGD, type SGDOptions } from './sgd';
