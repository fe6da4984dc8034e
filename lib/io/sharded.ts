/** Models split over several safetensors files with an index, and models found in a folder. */
import { mkdir, readFile, readdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { dtypes } from '../tensor/dtype';
import { QuantoError } from '../tensor/error';
import type { Tensor } from '../tensor/tensor';
import { stageFile, syncDirectory, writeAll, type StagedFile } from './atomic';
import { invalidFile, quoted, withIoErrors } from './error';
import { openSafetensors, readAll, safetensorsWriter, type ReadOptions, type SafetensorsFile, type TensorSource } from './safetensors';
import { MAX_HEADER_BYTES } from './safetensors-header';
import { encodeIndex, groupByShard, isShardName, parseIndex, planShards, shardName } from './sharded-index';

const FILE_SUFFIX = '.safetensors';
const INDEX_SUFFIX = '.safetensors.index.json';
// The names that transformers and diffusers give a model; the first is ours too.
const STEM = 'model';
const STEMS = [STEM, 'diffusion_pytorch_model'];
const SINGLE_FILE = STEM + FILE_SUFFIX;
const INDEX_FILE = STEM + INDEX_SUFFIX;
const DEFAULT_SHARD_BYTES = 5e9;

/** A model in several files. A shard is opened, and checked against the index, when its first tensor is read. */
export class ShardedSafetensors implements TensorSource {
  private readonly shards: ReadonlyMap<string, readonly string[]>;
  private readonly files = new Map<string, Promise<SafetensorsFile>>();

  private constructor(
    readonly indexPath: string,
    private readonly weightMap: ReadonlyMap<string, string>,
    private readonly options: ReadOptions | undefined,
  ) {
    this.shards = groupByShard(weightMap);
  }

  /** Reads an index. @throws QuantoError 'IO', or 'INVALID_FILE' when it is no index or points outside its folder */
  static async open(indexPath: string, options?: ReadOptions): Promise<ShardedSafetensors> {
    const bytes = await withIoErrors('read', indexPath, async () => {
      const { size } = await stat(indexPath);
      if (size > MAX_HEADER_BYTES) throw invalidFile(indexPath, `expected an index of at most ${MAX_HEADER_BYTES} bytes but got ${size}`);
      return readFile(indexPath);
    });
    return new ShardedSafetensors(indexPath, parseIndex(bytes, indexPath), options);
  }

  names(): string[] {
    return [...this.shards.values()].flat();
  }

  /** Loads one tensor. Beside the errors of its file: 'INVALID_FILE' when the file lacks a tensor that the index promises. */
  async tensor(name: string): Promise<Tensor> {
    const shard = this.weightMap.get(name);
    if (shard === undefined) {
      throw new QuantoError(
        'INVALID_ARGUMENT',
        `[safetensors] expected the name of a tensor in ${this.indexPath} but got ${quoted(name)}; names() lists them`,
      );
    }
    return (await this.openShard(shard)).tensor(name);
  }

  async close(): Promise<void> {
    const files = await Promise.allSettled(this.files.values());
    this.files.clear();
    // A shard that could not be opened has told its reader so.
    await Promise.all(files.map(async (file) => file.status === 'fulfilled' && file.value.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private openShard(shard: string): Promise<SafetensorsFile> {
    let file = this.files.get(shard);
    if (file === undefined) {
      file = this.openChecked(shard);
      this.files.set(shard, file);
    }
    return file;
  }

  private async openChecked(shard: string): Promise<SafetensorsFile> {
    const file = await openSafetensors(join(dirname(this.indexPath), shard), this.options);
    const missing = this.shards.get(shard)?.find((name) => !file.has(name));
    if (missing === undefined) return file;
    await file.close();
    throw invalidFile(this.indexPath, `expected tensor ${quoted(missing)} in ${shard} but that file has none of this name`);
  }
}

/**
 * Opens a model to read its tensors one by one.
 * @param path a safetensors file, an index (`*.safetensors.index.json`), or a folder with `model.safetensors` or its index, the names
 *   that diffusers uses, or else just one safetensors file or index
 * @throws QuantoError 'IO' when there is nothing of the kind, 'INVALID_FILE'
 */
export async function openTensors(path: string, options?: ReadOptions): Promise<TensorSource> {
  const file = await findModel(path);
  return file.endsWith(INDEX_SUFFIX) ? ShardedSafetensors.open(file, options) : openSafetensors(file, options);
}

/** Loads all tensors of a model into a record without prototype; see `openTensors` for what `path` may be. */
export async function loadTensors(path: string, options?: ReadOptions): Promise<Record<string, Tensor>> {
  await using source = await openTensors(path, options);
  return await readAll(source);
}

async function findModel(path: string): Promise<string> {
  const found = await withIoErrors('open', path, async () => ((await stat(path)).isDirectory() ? readdir(path) : undefined));
  if (found === undefined) return path;
  // A single file comes before an index, as in transformers.
  const usual = STEMS.flatMap((stem) => [stem + FILE_SUFFIX, stem + INDEX_SUFFIX]).find((name) => found.includes(name));
  if (usual !== undefined) return join(path, usual);
  for (const suffix of [INDEX_SUFFIX, FILE_SUFFIX]) {
    const candidates = found.filter((name) => name.endsWith(suffix) && !name.startsWith('.') && !isShardName(name));
    if (candidates.length === 1) return join(path, candidates[0]);
    if (candidates.length > 1) {
      const listed = candidates.slice(0, 5).map(quoted).join(', ');
      throw new QuantoError(
        'IO',
        `[loadTensors] expected one model in ${path} but got ${candidates.length} (${listed}); give the path of a file`,
      );
    }
  }
  throw new QuantoError(
    'IO',
    `[loadTensors] expected model.safetensors or model.safetensors.index.json in ${path} but got neither; give the path of a file`,
  );
}

export interface ShardOptions {
  /** Text for the `__metadata__` of every file. */
  metadata?: Readonly<Record<string, string>>;
  /** Bytes of tensors in a file at most, 5e9 by default; a larger tensor has a file of its own. */
  maxShardBytes?: number;
}

/**
 * Saves tensors in a folder, which is made if need be: `model.safetensors`, or where that would be larger than `maxShardBytes`,
 * `model-00001-of-0000N.safetensors` and so on with `model.safetensors.index.json`; a model saved there before is removed.
 *
 * All files are written in full beside their places before the first is renamed, so a failure or a crash during the writing leaves
 * the old model. Of the renaming only a moment is not atomic, and a crash then can leave a folder without an index, which does
 * not load, but never a mixture of old and new weights that does.
 * @throws QuantoError as saveSafetensors does
 */
export async function saveTensors(directory: string, tensors: Readonly<Record<string, Tensor>>, options: ShardOptions = {}): Promise<void> {
  const { metadata, maxShardBytes = DEFAULT_SHARD_BYTES } = options;
  if (!(maxShardBytes > 0)) {
    throw new QuantoError('INVALID_ARGUMENT', `[saveTensors] expected maxShardBytes > 0 but got ${maxShardBytes}; give a number of bytes`);
  }
  const entries = new Map(Object.entries(tensors));
  const sizes = Array.from(entries, ([name, tensor]) => ({ name, byteLength: tensor.numel * dtypes[tensor.dtype].bytes }));
  const plan = planShards(sizes, maxShardBytes);

  const files = new Map<string, FileWriter>();
  const weightMap = new Map<string, string>();
  plan.forEach((names, index) => {
    const file = plan.length === 1 ? SINGLE_FILE : shardName(STEM, index, plan.length);
    files.set(file, safetensorsWriter(new Map(names.map((name) => [name, entries.get(name) as Tensor])), metadata));
    for (const name of names) weightMap.set(name, file);
  });
  if (plan.length > 1) {
    const totalBytes = sizes.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const index = Buffer.from(encodeIndex(weightMap, totalBytes), 'utf8');
    files.set(INDEX_FILE, (file) => writeAll(file, index));
  }
  await withIoErrors('make', directory, () => mkdir(directory, { recursive: true }));
  await replaceModel(directory, files);
}

type FileWriter = Parameters<typeof stageFile>[1];

/** Replaces the model in a folder by `files`, of which the index, if any, is the last. */
async function replaceModel(directory: string, files: ReadonlyMap<string, FileWriter>): Promise<void> {
  const staged: StagedFile[] = [];
  try {
    for (const [name, write] of files) staged.push(await stageFile(join(directory, name), write));
    // Two saves of one folder take turns here, so that their shards do not mix.
    const turn = lastReplacement.then(() => commitModel(directory, files, staged));
    lastReplacement = turn.catch(() => undefined);
    await turn;
  } catch (error) {
    await Promise.all(staged.map((file) => file.discard()));
    throw error;
  }
}

let lastReplacement: Promise<void> = Promise.resolve();

async function commitModel(directory: string, files: ReadonlyMap<string, FileWriter>, staged: readonly StagedFile[]): Promise<void> {
  const old = await savedFiles(directory);
  const remove = async (names: readonly string[]): Promise<void> => {
    await Promise.all(names.map((name) => unlink(join(directory, name)).catch(ignoreMissing)));
    await syncDirectory(directory);
  };
  await withIoErrors('replace the model in', directory, async () => {
    // The old index must not lead to new shards.
    if (files.has(INDEX_FILE)) await remove([INDEX_FILE]);
    for (const file of staged) await file.commit();
    await remove(old.filter((name) => !files.has(name)));
  });
}

/** The files of the model that `saveTensors` or a Hugging Face library left in a folder. */
async function savedFiles(directory: string): Promise<string[]> {
  const index = await readFile(join(directory, INDEX_FILE)).catch(() => undefined);
  if (index === undefined) return [SINGLE_FILE];
  try {
    return [SINGLE_FILE, INDEX_FILE, ...parseIndex(index, INDEX_FILE).values()];
  } catch {
    return [SINGLE_FILE, INDEX_FILE]; // what a damaged index names is not ours to remove
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
