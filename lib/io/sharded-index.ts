/**
 * The index of a model split over several safetensors files (`model.safetensors.index.json`, as Hugging Face libraries write it):
 * `{"metadata": {"total_size": bytes}, "weight_map": {"tensor": "model-00001-of-00002.safetensors"}}`. Nothing here touches a tensor.
 */
import { isUtf8 } from 'node:buffer';
import { invalidFile, quoted } from './error';
import { JsonReader } from './json-reader';

/** Reads an index: the file that holds each tensor, in the index's order. */
export function parseIndex(bytes: Uint8Array, file: string): Map<string, string> {
  if (!isUtf8(bytes)) throw invalidFile(file, 'expected an index in UTF-8 but got bytes that are not');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  const reader = new JsonReader(text, (problem) => invalidFile(file, problem));
  let weightMap: Map<string, string> | undefined;
  reader.object((key) => {
    if (key === 'weight_map') weightMap = readWeightMap(reader, file);
    else reader.skipValue();
  });
  reader.end();
  if (weightMap === undefined) throw invalidFile(file, 'expected a weight_map but got an index without one');
  return weightMap;
}

function readWeightMap(reader: JsonReader, file: string): Map<string, string> {
  const weightMap = new Map<string, string>();
  reader.object((name) => {
    const shard = reader.string();
    if (!isPlainFileName(shard)) {
      throw invalidFile(
        file,
        `expected shards to be names of .safetensors files beside the index but got ${quoted(shard)} for ${quoted(name)}`,
      );
    }
    weightMap.set(name, shard);
  });
  return weightMap;
}

/** No folder in it, so that an index can only point at its own folder, on every system. */
function isPlainFileName(name: string): boolean {
  return name.endsWith('.safetensors') && !/[/\\:\0]/.test(name);
}

/** Tensors grouped by the file that holds them. */
export function groupByShard(weightMap: ReadonlyMap<string, string>): Map<string, string[]> {
  const shards = new Map<string, string[]>();
  for (const [name, shard] of weightMap) {
    const names = shards.get(shard);
    if (names === undefined) shards.set(shard, [name]);
    else names.push(name);
  }
  return shards;
}

/**
 * Fills shards with tensors in order, each up to `maxShardBytes` of tensor bytes; a larger tensor has a shard of its own.
 * @returns the names in each shard; one empty shard when there are no tensors
 */
export function planShards(tensors: Iterable<{ name: string; byteLength: number }>, maxShardBytes: number): string[][] {
  let shard: string[] = [];
  let shardBytes = 0;
  const shards = [shard];
  for (const { name, byteLength } of tensors) {
    if (shard.length > 0 && shardBytes + byteLength > maxShardBytes) {
      shard = [];
      shardBytes = 0;
      shards.push(shard);
    }
    shard.push(name);
    shardBytes += byteLength;
  }
  return shards;
}

/** The name of shard `index` (from 0) of `count`, such as `model-00001-of-00002.safetensors`. */
export function shardName(stem: string, index: number, count: number): string {
  const digits = (n: number): string => String(n).padStart(5, '0');
  return `${stem}-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}

/** Whether a file's name says that it holds a part of a model only. */
export function isShardName(name: string): boolean {
  return /-\d+-of-\d+\.safetensors$/.test(name);
}

/** The index as JSON text, sorted by tensor name as Hugging Face libraries write it. */
export function encodeIndex(weightMap: ReadonlyMap<string, string>, totalBytes: number): string {
  const members = [...weightMap]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map((pair) => `    ${pair.map((text) => JSON.stringify(text)).join(': ')}`);
  return `{\n  "metadata": {\n    "total_size": ${totalBytes}\n  },\n  "weight_map": {\n${members.join(',\n')}\n  }\n}\n`;
}
