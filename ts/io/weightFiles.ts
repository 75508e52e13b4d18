// The weights of a model folder: model.safetensors, or the shards that model.safetensors.index.json lists. Pickled files are never read.
import { FerroError } from '../errors';
import { type ByteSource, checkpointError, type OpenOptions, parseJsonObject, type ReadableFolder, readFolderText } from './files';
import { SafetensorsFile } from './safetensors';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Open weight files: which tensors there are and which file holds each. */
export interface WeightFiles {
  names(): Iterable<string>;
  /** The file that holds a tensor of `names()`. */
  file(name: string): SafetensorsFile;
  close(): Promise<void>;
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
  throw new FerroError('FILE_NOT_FOUND', `${folder.label}: must have the weights ${name}, got none`);
}

/** Tensor name → shard, from the index's text. */
function parseIndex(label: string, text: string): Map<string, string> {
  const map = parseJsonObject(label, text).get('weight_map');
  const valid = typeof map === 'object' && map !== null && !Array.isArray(map);
  const shards = new Map<string, unknown>(valid ? Object.entries(map) : []);
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
      for (const tensor of shard.tensors.keys()) {
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
    return { names: () => holder.keys(), file: (name) => holder.get(name)!, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the weights of a folder and checks their headers. @throws FILE_NOT_FOUND, INVALID_CHECKPOINT, NOT_BUILT for pickled weights */
export async function openWeights(folder: ReadableFolder, options: OpenOptions = {}): Promise<WeightFiles> {
  const indexText = await readFolderText(folder, INDEX, options);
  if (indexText !== null) return openShards(folder, parseIndex(`${folder.label}/${INDEX}`, indexText), options);
  const source = await folder.open(SINGLE, options);
  if (source !== null) {
    const file = await openTensors(source);
    return { names: () => file.tensors.keys(), file: () => file, close: () => file.close() };
  }
  if (await folder.has('pytorch_model.bin', options)) {
    throw new FerroError(
      'NOT_BUILT',
      `${folder.label}: weights can be read from ${SINGLE} only, got pytorch_model.bin (a pickle; never read)`,
    );
  }
  throw new FerroError('FILE_NOT_FOUND', `${folder.label}: a model folder must have ${SINGLE}, got none`);
}
