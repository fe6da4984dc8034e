// Real architectures, made of nn modules alone: any Module can be quantized.
export { KeyValueCache } from './kv-cache';
export { Llama, type LlamaConfig, llamaKeys } from './llama';
export { MLP } from './mlp';
export { normalizeImages, ResNet } from './resnet';
