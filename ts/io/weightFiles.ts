// The weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json lists. Pickled files are never read.
import { FerroError } from '../errors';
import { type ByteSource, checkpointError, type OpenOptions, parseJsonObject, type ReadableFolder, readFolderText } from './files';
import { SafetensorsFile, type TensorEntry, type TensorPiece } from './safetensors';

export const WEIGHTS_FILE = 'model.safetensors';
export const INDEX_FILE = 'model.safetensors.index.json';

/** Open weight files: which tensors there are and which file holds each. */
export interface WeightFiles {
  /** In the order of the files: whoever reads in this order reads each file once, from front to end. */
  names(): Iterable<string>;
  /** Where a tensor of `names()` lies, its dtype and shape. */
  entry(name: string): TensorEntry;
  /** Its values as f32 in pieces, first to last. @throws INVALID_CHECKPOINT for a dtype that is no float; FILE_ERROR */
  pieces(name: string): AsyncGenerator<TensorPiece>;
  /** The whole tensor's bytes, a copy. */
  bytes(name: string): Promise<Uint8Array>;
  /** The whole tensor as f32. */
  float32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Weight files of which each tensor's file is known, in the order in which they are to be read. */
function weightFiles(holder: ReadonlyMap<string, SafetensorsFile>, close: () => Promise<void>): WeightFiles {
  const file = (name: string) => holder.get(name)!;
  return {
    names: () => holder.keys(),
    entry: (name) => file(name).entry(name),
    async *pieces(name) {
      try {
        yield* file(name).float32Pieces(name);
      } catch (error) {
        throw checkpointError(error);
      }
    },
    bytes: (name) => file(name).bytes(name),
    float32: (name) =>
      file(name)
        .float32(name)
        .catch((error: unknown) => {
          throw checkpointError(error);
        }),
    close,
  };
}

/** The tensors of a file in the order of their bytes. */
function inOrder(file: SafetensorsFile): string[] {
  return [...file.tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end).map(({ name }) => name);
}

/** Opens a safetensors file of a checkpoint; it is closed again if it is refused. @throws INVALID_CHECKPOINT */
export async function openTensors(source: ByteSource): Promise<SafetensorsFile> {
  try {
    return await SafetensorsFile.open(source);
  } catch (error) {
    throw checkpointError(error);
  }
}

/** Opens one file of the folder. @throws FILE_NOT_FOUND, INVALID_CHECKPOINT */
async function openFile(folder: ReadableFolder, name: string, options: OpenOptions): Promise<SafetensorsFile> {
  const source = await folder.open(name, options);
  if (source !== null) return openTensors(source);
  throw new FerroError('FILE_NOT_FOUND', `${folder.label}: must have the weights ${name}, got ${folder.whyAbsent?.(name) ?? 'none'}`);
}

/** Tensor name → shard, from the index's text. */
function parseIndex(label: string, text: string): Map<string, string> {
  let map: unknown;
  try {
    map = parseJsonObject(label, text).get('weight_map');
  } catch (error) {
    throw checkpointError(error);
  }
  const valid = typeof map === 'object' && map !== null && !Array.isArray(map);
  const shards = new Map<string, unknown>(valid ? Object.entries(map as object) : []);
  for (const [tensor, shard] of shards) {
    // Only a plain name: an index must not be able to point outside its folder.
    const plain = typeof shard === 'string' && /^[^/\\]+\.safetensors$/.test(shard);
    if (!plain)
      throw new FerroError(
        'INVALID_CHECKPOINT',
        `${label}: a shard must be a .safetensors file name, got ${JSON.stringify(shard)} for ${tensor}`,
      );
  }
  if (shards.size === 0)
    throw new FerroError('INVALID_CHECKPOINT', `${label}: "weight_map" must list tensors, got ${JSON.stringify(map) ?? 'none'}`);
  return shards as Map<string, string>;
}

async function openShards(folder: ReadableFolder, index: Map<string, string>, options: OpenOptions): Promise<WeightFiles> {
  const shards = new Map<string, SafetensorsFile>();
  const close = async () => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const name of new Set(index.values())) shards.set(name, await openFile(folder, name, options));
    const holder = new Map<string, SafetensorsFile>();
    for (const [name, shard] of shards) {
      for (const tensor of inOrder(shard)) {
        if (index.get(tensor) !== name) {
          throw new FerroError('INVALID_CHECKPOINT', `${folder.label}/${name}: must hold the tensors its index says, got ${tensor} too`);
        }
        holder.set(tensor, shard);
      }
    }
    for (const [tensor, name] of index) {
      if (!holder.has(tensor))
        throw new FerroError('INVALID_CHECKPOINT', `${folder.label}/${name}: must hold ${tensor} as its index says, got none`);
    }
    return weightFiles(holder, close);
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the weights of a folder and checks their headers. @throws FILE_NOT_FOUND, INVALID_CHECKPOINT, PICKLE_REFUSED */
export async function openWeights(folder: ReadableFolder, options: OpenOptions = {}): Promise<WeightFiles> {
  // Both there: the single file counts, as in transformers.
  const source = await folder.open(WEIGHTS_FILE, options);
  if (source !== null) {
    const file = await openTensors(source);
    return weightFiles(new Map(inOrder(file).map((name) => [name, file])), () => file.close());
  }
  const indexText = await readFolderText(folder, INDEX_FILE, options);
  if (indexText !== null) return openShards(folder, parseIndex(`${folder.label}/${INDEX_FILE}`, indexText), options);
  for (const name of ['pytorch_model.bin', 'pytorch_model.bin.index.json']) {
    if (await folder.has(name, options)) {
      throw new FerroError(
        'PICKLE_REFUSED',
        `${folder.label}: weights must be in ${WEIGHTS_FILE}, got ${name} (a pickle can run code, so it is never read)`,
      );
    }
  }
  throw new FerroError(
    'FILE_NOT_FOUND',
    `${folder.label}: a model folder must have ${WEIGHTS_FILE} or ${INDEX_FILE}, got ${folder.whyAbsent?.(WEIGHTS_FILE) ?? 'neither'}`,
  );
}
