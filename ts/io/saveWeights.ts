// Weights as files: one model.safetensors, or shards with an index as transformers names them. The bytes are made while they are written. Which tensors
// there are is the caller's business.
import { FerroError } from '../errors';
import type { FileData } from './files';
import { lazySafetensors, tensorBytes, type WritableTensor } from './safetensorsWriter';
import { INDEX_FILE, WEIGHTS_FILE } from './weightFiles';

const UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['KB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['KIB', 2 ** 10],
  ['MIB', 2 ** 20],
  ['GIB', 2 ** 30],
]);

/** Bytes of a size as Hugging Face writes it: a number of bytes, '200MB', '1.5GiB'. @throws INVALID_OPTION */
export function readSize(size: string | number): number {
  const [, digits, unit = ''] = (typeof size === 'string' ? /^(\d+(?:\.\d+)?)\s*([KMG]i?B)?$/i.exec(size.trim()) : null) ?? [];
  const bytes = typeof size === 'number' ? size : Math.floor(Number(digits) * UNITS.get(unit.toUpperCase())!);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new FerroError(
    'INVALID_OPTION',
    `save: "maxShardSize" must be a number of bytes or a size such as "200MB", got ${JSON.stringify(size)}`,
  );
}

/** Tensors in their order, cut where the next one would make a shard larger than `maxBytes`; a tensor that is larger stands alone. */
function cut(
  tensors: ReadonlyMap<string, WritableTensor>,
  maxBytes: number,
  sizes: ReadonlyMap<string, number>,
): Map<string, WritableTensor>[] {
  const shards: Map<string, WritableTensor>[] = [];
  let left = -1;
  for (const [name, tensor] of tensors) {
    const size = sizes.get(name)!;
    if (size > left || shards.length === 0) {
      shards.push(new Map());
      left = maxBytes;
    }
    shards[shards.length - 1].set(name, tensor);
    left -= size;
  }
  return shards.length > 0 ? shards : [new Map()];
}

const bytesOf = (name: string, tensor: WritableTensor): number =>
  'data' in tensor ? tensor.data.byteLength : 'bytes' in tensor ? tensor.bytes.length : tensorBytes(name, tensor);

/**
 * The weight files of a folder.
 * @param tensors in the order in which shards are filled
 * @param maxShardSize bytes or a size such as '200MB'; without it there is one file
 * @throws INVALID_OPTION for a size that is none; as `lazySafetensors`
 */
export function weightsToFiles(tensors: ReadonlyMap<string, WritableTensor>, maxShardSize?: string | number): Map<string, FileData> {
  const sizes = new Map(Array.from(tensors, ([name, tensor]) => [name, bytesOf(name, tensor)]));
  const shards = cut(tensors, maxShardSize === undefined ? Number.POSITIVE_INFINITY : readSize(maxShardSize), sizes);
  if (shards.length === 1) return new Map([[WEIGHTS_FILE, lazySafetensors(tensors)]]);
  const digits = (n: number) => String(n).padStart(5, '0');
  const files = new Map<string, FileData>();
  const places: [string, string][] = [];
  for (const [i, shard] of shards.entries()) {
    const file = `model-${digits(i + 1)}-of-${digits(shards.length)}.safetensors`;
    files.set(file, lazySafetensors(shard));
    for (const name of shard.keys()) places.push([name, file]);
  }
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(places.sort(([a], [b]) => (a < b ? -1 : 1))) };
  return files.set(INDEX_FILE, `${JSON.stringify(index, null, 2)}\n`);
}
