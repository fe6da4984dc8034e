// Tensors and bytes: safetensors files, whole or in shards.
export { writeFileAtomic } from './atomic';
export {
  loadSafetensors,
  openSafetensors,
  type ReadOptions,
  readSafetensorsMetadata,
  SafetensorsFile,
  saveSafetensors,
  type TensorSource,
} from './safetensors';
export { loadTensors, openTensors, saveTensors, type ShardOptions, ShardedSafetensors } from './sharded';
